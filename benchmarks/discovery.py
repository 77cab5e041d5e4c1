"""Discovery: the whole of `muster topo` against hwloc's own lister, which shows the same node."""

import shutil

from measure import Row, Waived
from start import milliseconds

BUDGET_MS = 20.0
ROUNDS = 31


def measure(bench):
    try:
        return [against_hwloc(bench)]
    except Waived as waived:
        return [Row("discovery", waived=str(waived))]


def against_hwloc(bench):
    lister = shutil.which("lstopo-no-graphics") or shutil.which("hwloc-ls")
    if lister is None:
        raise Waived("no lstopo-no-graphics; Debian's hwloc-nox has it")
    samples, _ = bench.interleaved({
        "hwloc": milliseconds(bench, [lister, "--of", "console", "-"]),
        "muster": milliseconds(bench, [bench.muster, "topo"]),
    }, bench.rounds_or(ROUNDS), warm_up=2)
    row = Row("discovery", "lstopo-no-graphics", "ms", samples["hwloc"], samples["muster"])
    row.budget, row.met = f"{BUDGET_MS:.0f} ms", samples["muster"].median <= BUDGET_MS
    return row
