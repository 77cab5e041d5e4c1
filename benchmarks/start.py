"""Start: the whole of `muster run -n N -- true` against `mpirun -np N true` as a user types it."""

import importlib.util
import shutil
import statistics
import sys

from measure import CORES, DIRECT, Row, Sample, Waived

STOCK_TRIES = 8
STOCK_TIMEOUT = 4.0
EXTRA_MS_AT_2 = 15.0
EXTRA_SHARE_AT_64 = 0.15


def measure(bench):
    rows = []
    for ranks, rounds in ((2, 25), (8, 11), (64, 5)):
        rows += waived_if_impossible(lambda: through_mpirun(bench, ranks, bench.rounds_or(rounds)),
                                     f"start, {ranks} ranks")
    rows += waived_if_impossible(lambda: against_torchrun(bench), "start without MPI, 2 ranks")
    rows += waived_if_impossible(lambda: stock_hangs(bench), "stock mpirun -np 64")
    return rows


def waived_if_impossible(function, what):
    try:
        return function()
    except Waived as waived:
        return [Row(what, waived=str(waived))]


def milliseconds(bench, argv, timeout=30.0):
    def once():
        seconds = bench.seconds_of(argv, timeout)
        return None if seconds is None else seconds * 1000
    return once


def through_mpirun(bench, ranks, rounds):
    peer = bench.mpirun(ranks, "true")
    samples, hung = bench.interleaved({
        "mpirun": milliseconds(bench, peer),
        "muster": milliseconds(bench, bench.run_line(ranks, "true", options=["--backend", "mpi"])),
        "direct": milliseconds(bench, bench.run_line(ranks, "true", options=DIRECT)),
    }, rounds, warm_up=2)
    # Pairs of one round: what the machine did meanwhile, it did to both.
    extra = Sample([ours - theirs for ours, theirs in
                    zip(samples["muster"].values, samples["mpirun"].values)])
    row = Row(f"start, {ranks} ranks", f"mpirun -np {ranks} true", "ms", samples["mpirun"],
              samples["muster"])
    row.notes.append(f"difference within a round: median {extra.median:+.1f} ms")
    if ranks == 2:
        row.budget, row.met = f"+ {EXTRA_MS_AT_2:.0f} ms", extra.median <= EXTRA_MS_AT_2
    elif ranks == 64:
        row.budget = f"+ {EXTRA_SHARE_AT_64:.0%}"
        row.met = row.ratio <= 1 + EXTRA_SHARE_AT_64
    if hung["mpirun"]:
        row.notes.append(f"mpirun hung {hung['mpirun']} times; not timed")
    if ranks > CORES:
        row.notes.append(f"more ranks than the {CORES} cores: both oversubscribe")
    direct = Row(f"start without MPI, {ranks} ranks", f"mpirun -np {ranks} true", "ms",
                 samples["mpirun"], samples["direct"])
    return [row, direct]


def torchrun():
    found = shutil.which("torchrun")
    if found:
        return [found]
    if importlib.util.find_spec("torch") is not None:
        return [sys.executable, "-m", "torch.distributed.run"]
    raise Waived("torchrun is not installed")


def against_torchrun(bench):
    peer = [*torchrun(), "--nproc_per_node", "2", "--no-python", "true"]
    samples, _ = bench.interleaved({
        "torchrun": milliseconds(bench, peer, 60.0),
        "direct": milliseconds(bench, bench.run_line(2, "true", options=DIRECT)),
    }, bench.rounds_or(5))
    row = Row("start without MPI, 2 ranks", "torchrun", "ms", samples["torchrun"],
              samples["direct"], "1/10")
    row.met = row.ratio <= 0.1
    return [row]


def stock_hangs(bench):
    """How often mpirun hangs without the setting that we give it, and how often Muster does."""
    argv = bench.mpirun(64, "true", safe=False)
    times = [bench.seconds_of(argv, STOCK_TIMEOUT) for _ in range(STOCK_TRIES)]
    ours = [bench.seconds_of(bench.run_line(64, "true", options=["--backend", "mpi"]),
                             STOCK_TIMEOUT) for _ in range(STOCK_TRIES)]
    row = Row("starts of 64 ranks that hang", "stock mpirun -np 64 true", f"of {STOCK_TRIES}",
              Sample([times.count(None)]), Sample([ours.count(None)]), "0", None not in ours)
    ended = [each for each in times if each is not None]
    row.notes.append(f"hang: not ended after {STOCK_TIMEOUT:.0f} s; those that ended took "
                     + (f"{statistics.median(ended) * 1000:.0f} ms" if ended else "no time: none"))
    return [row]
