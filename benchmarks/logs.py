"""Logs: from a rank's print of a line until a follower's reader has it, against `tail -F`."""

import os
import select
import statistics
import subprocess
import sys
import time

from measure import Row, Sample, Waived, wait_for, wait_gone

LINES = 600
BUDGET_MS = 50.0
# The clock is read right before the print: CLOCK_MONOTONIC, which all processes share.
SAYS_WHEN = f"""
import time
time.sleep(1)
for _ in range({LINES}):
    print(time.monotonic_ns(), flush=True)
    time.sleep(0.005)
"""


def measure(bench):
    rounds = [one_round(bench) for _ in range(bench.rounds_or(3))]
    rows = []
    for what, number in (("median", 50), ("99th percentile", 99)):
        tail, muster = (Sample([percentile(each[name], number) for each in rounds])
                        for name in ("tail", "muster"))
        rows.append(Row(f"line to `muster logs --follow`, {what}", "tail -F", "ms", tail, muster))
    rows[-1].budget = f"<= {BUDGET_MS:.0f} ms"
    rows[-1].met = rows[-1].ours.median <= BUDGET_MS
    rows[-1].notes.append(f"{LINES} lines in each round; slowest "
                          f"{max(max(each['muster']) for each in rounds):.1f} ms, tail's "
                          f"{max(max(each['tail']) for each in rounds):.1f} ms")
    return rows


def percentile(values, number):
    return statistics.quantiles(values, n=100, method="inclusive")[number - 1]


def one_round(bench):
    """{"tail": [milliseconds of each line], "muster": …}, both of one run."""
    before = set(runs(bench))
    run = bench.start(bench.run_line(1, sys.executable, "-c", SAYS_WHEN,
                                     options=["--backend", "none", "--console", "none"]))
    readers = {}
    try:
        directory = wait_for(lambda: next(iter(set(runs(bench)) - before), None), 20, "the run")
        file = directory / "ranks/00000/attempt-0/stdout.log"
        wait_for(file.exists, 20, "the rank's file")
        readers["muster"] = bench.start([bench.muster, "logs", "--follow", "--stream", "stdout",
                                         directory], stdout=subprocess.PIPE)
        readers["tail"] = bench.start(["tail", "-n", "+1", "-F", file], stdout=subprocess.PIPE)
        return arrivals(readers)
    finally:
        for reader in readers.values():
            bench.end(reader)
            reader.stdout.close()
        wait_gone([run.pid], 10)
        bench.end(run)


def runs(bench):
    if not bench.runs_dir.is_dir():
        return []
    return [path for path in bench.runs_dir.iterdir() if (path / "run.json").exists()]


def arrivals(readers):
    names = {reader.stdout.fileno(): name for name, reader in readers.items()}
    rest = dict.fromkeys(readers, b"")
    late = {name: [] for name in readers}
    poller = select.poll()
    for descriptor in names:
        poller.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + 30
    while min(map(len, late.values())) < LINES:
        if time.monotonic() > deadline:
            raise Waived(f"not all lines came: {dict(zip(late, map(len, late.values())))}")
        for descriptor, _ in poller.poll(1000):
            data = os.read(descriptor, 1 << 16)
            now = time.monotonic_ns()
            if not data:
                poller.unregister(descriptor)
                continue
            name = names[descriptor]
            *lines, rest[name] = (rest[name] + data).split(b"\n")
            late[name] += [(now - int(line)) / 1e6 for line in lines]
    return late
