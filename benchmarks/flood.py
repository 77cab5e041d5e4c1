"""Flood: one rank's stdout to its stored file against `cat > file`; many ranks against mpirun."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from measure import CORES, Row, Waived

# On disk less, and more often: nothing is to be written back while the clock runs.
PLACES = {"tmpfs": (1024, 5), "disk": (512, 9)}  # MiB, rounds
MANY_RANKS = 64
MB_PER_RANK = 8
MIB = 1 << 20


def measure(bench):
    rows = []
    for where, parent in (("tmpfs", Path("/dev/shm")), ("disk", bench.scratch)):
        name = f"flood of one rank, on {where}"
        try:
            rows += one_rank(bench, where, parent, *PLACES[where])
        except Waived as waived:
            rows.append(Row(name, waived=str(waived)))
    try:
        rows.append(many_ranks(bench))
    except Waived as waived:
        rows.append(Row(f"flood of {MANY_RANKS} ranks", waived=str(waived)))
    return rows


def available_memory():
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def check_room(parent, megabytes):
    if not os.access(parent, os.W_OK):
        raise Waived(f"{parent} is not writable")
    free = shutil.disk_usage(parent).free
    if free < 3 * megabytes * MIB or available_memory() < 3 * megabytes * MIB:
        raise Waived(f"{parent} or the memory has no room for three times {megabytes} MiB")


class Place:
    """A directory for stored floods, emptied after each."""

    def __init__(self, bench, parent):
        self.path = Path(parent) / f"muster-bench-{bench.mark[:8]}"

    def __enter__(self):
        self.path.mkdir()
        return self

    def __exit__(self, *exception):
        shutil.rmtree(self.path, ignore_errors=True)

    def empty(self):
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def stored(self, pattern):
        return sum(path.stat().st_size for path in self.path.glob(pattern) if path.is_file())


def rate(place, seconds, megabytes, pattern):
    """MB/s of what is stored; every byte must be there."""
    stored = place.stored(pattern)
    place.empty()
    if stored != megabytes * MIB:
        raise Waived(f"{stored} bytes were stored of {megabytes * MIB}")
    return None if seconds is None else stored / seconds / 1e6


def one_rank(bench, where, parent, megabytes, rounds):
    check_room(parent, megabytes)
    flood = bench.program("block_flood")
    size = str(megabytes)
    with Place(bench, parent) as place:
        file = place.path / "flood"

        def cat():
            seconds = bench.seconds_of(["sh", "-c", '"$0" "$1" | cat >"$2"', flood, size, file],
                                       60)
            return rate(place, seconds, megabytes, "flood")

        def muster(console):
            def once():
                options = ["--backend", "none", "--console", console, "--runs-dir", place.path]
                seconds = bench.seconds_of(bench.run_line(1, flood, size, options=options), 60)
                return rate(place, seconds, megabytes, "*/ranks/00000/attempt-0/stdout.log")
            return once

        samples, _ = bench.interleaved(
            {"cat": cat, "muster": muster("none"), "console": muster("rank0")},
            bench.rounds_or(rounds))
    row = Row(f"flood of one rank, on {where}", "flood | cat > file", "MB/s", samples["cat"],
              samples["muster"], ">= 1 x", notes=[f"{megabytes} MiB, whole commands, aim 2 x"])
    row.met = row.ratio >= 1
    shown = Row(f"the same, shown on the console, {where}", "flood | cat > file", "MB/s",
                samples["cat"], samples["console"])
    return [row, shown]


def first_write(times):
    return min(int(line) for line in times.read_text(encoding="utf-8").split()) / 1e9


def many_ranks(bench):
    """From the first rank's first write to the command's end, so that the start does not count."""
    megabytes = MANY_RANKS * MB_PER_RANK
    check_room("/dev/shm", megabytes)
    flood = bench.program("block_flood")
    with Place(bench, "/dev/shm") as place:
        times = bench.scratch / "times"
        words = [flood, str(MB_PER_RANK), str(times)]

        def timed(argv, pattern, stdout=subprocess.DEVNULL):
            times.unlink(missing_ok=True)
            if bench.seconds_of(argv, 60, stdout) is None:
                place.empty()
                return None
            seconds = time.monotonic() - first_write(times)  # both are CLOCK_MONOTONIC
            return rate(place, seconds, megabytes, pattern)

        def mpirun():
            with open(place.path / "all", "wb") as file:
                return timed(bench.mpirun(MANY_RANKS, *words), "all", file)

        def muster():
            options = ["--backend", "mpi", "--console", "none", "--runs-dir", place.path]
            return timed(bench.run_line(MANY_RANKS, *words, options=options),
                         "*/ranks/*/attempt-0/stdout.log")

        samples, hung = bench.interleaved({"mpirun": mpirun, "muster": muster},
                                          bench.rounds_or(3), warm_up=0)
    row = Row(f"flood of {MANY_RANKS} ranks", "mpirun's forwarding > file", "MB/s",
              samples["mpirun"], samples["muster"], ">= 5 x",
              notes=[f"{megabytes} MiB on tmpfs, {CORES} cores, from the first write to the "
                     "command's end"])
    row.met = row.ratio >= 5
    if hung["mpirun"]:
        row.notes.append(f"mpirun hung {hung['mpirun']} times; not timed")
    return row
