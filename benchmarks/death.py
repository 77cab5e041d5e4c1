"""Death: one rank is killed; how long until every rank of the node is gone, with no grace asked."""

import os
import signal
import time

from measure import Row, Waived, descendants_named, wait_for, wait_gone

RANKS = 8
BUDGET_MS = 100.0
NO_GRACE = ["--backend", "mpi", "--set", "limits.failure_grace_period=0s"]
# A rank in a long call into a library does not come to its handler; this one stands for it.
DEAF = ["sh", "-c", "trap '' TERM; exec sleep 600"]
MEEK = ["sleep", "600"]


def measure(bench):
    rows = []
    for kind, words in (("that ignore SIGTERM", DEAF), ("that end at SIGTERM", MEEK)):
        what = f"death of one of {RANKS} ranks {kind}"
        try:
            rows.append(death(bench, what, words))
        except Waived as waived:
            rows.append(Row(what, waived=str(waived)))
    return rows


def death(bench, what, words):
    samples, _ = bench.interleaved({
        "mpirun": lambda: time_to_all_gone(bench, bench.mpirun(RANKS, *words)),
        "muster": lambda: time_to_all_gone(bench, bench.run_line(RANKS, *words, options=NO_GRACE)),
    }, bench.rounds_or(5), warm_up=0)
    row = Row(what, "mpirun", "ms", samples["mpirun"], samples["muster"],
              f"<= {BUDGET_MS:.0f} ms")
    row.met = row.ours.median <= BUDGET_MS
    row.notes.append(f"slowest {max(row.ours.values):.0f} ms, mpirun's "
                     f"{max(row.peer.values):.0f} ms")
    return row


def time_to_all_gone(bench, argv):
    """Milliseconds from the kill of one rank until the last of the others is gone."""
    process = bench.start(argv)
    try:
        ranks = wait_for(lambda: all_ranks(process.pid), 30, "the start of all ranks")
        time.sleep(0.3)  # the start is over, also for the launcher
        victim = ranks.pop(len(ranks) // 2)
        begin = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        gone = wait_gone(ranks, 20)
        return (time.monotonic() - begin) * 1000 if gone else None
    finally:
        wait_gone([process.pid], 10)  # its own end, so that it leaves nothing in our way
        bench.end(process)


def all_ranks(pid):
    ranks = descendants_named(pid, "sleep")
    return ranks if len(ranks) == RANKS else None
