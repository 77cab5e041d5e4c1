"""Plan: from the inventories of 1,000 nodes, no two alike, to the placement of 8 ranks on each."""

import subprocess

from measure import Row, Sample, Waived

NODES = 1000
LIMIT_MS = 1000.0
WARM_UP = 1


def measure(bench):
    rounds = bench.rounds_or(5)
    argv = [bench.program("plan_nodes"), str(NODES), str(rounds + WARM_UP)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        raise Waived("plan_nodes did not end in 120 s") from None
    if done.returncode != 0:
        raise Waived(done.stderr.strip())
    values = [int(line) / 1e6 for line in done.stdout.splitlines()][WARM_UP:]
    row = Row(f"plan: {NODES:,} nodes x 8 ranks", "", "ms", None, Sample(values), "<= 1 s")
    row.met = row.ours.median <= LIMIT_MS
    return [row]
