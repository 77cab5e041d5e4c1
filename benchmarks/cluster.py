"""Several nodes: launchers on this one machine that meet, agree on a plan and start their ranks."""

import socket
import subprocess
import time

from measure import DIRECT, Row, Sample, Waived, wait_for

LAUNCHERS = (8, 64)
ROUNDS = 5
READY = 60.0
BUDGET_MS = 2000.0


def measure(bench):
    rows = []
    for launchers in LAUNCHERS:
        planned, started, ended = [], [], []
        for _ in range(bench.rounds_or(ROUNDS)):
            for figures, value in zip((planned, started, ended), meet(bench, launchers)):
                figures.append(value * 1000)
        what = f"{launchers} launchers, discovery included"
        plan = Row(f"join and plan, {what}", unit="ms", ours=Sample(planned))
        if launchers == max(LAUNCHERS):
            plan.budget, plan.met = "2 s", plan.ours.median <= BUDGET_MS
        rows += [plan, Row(f"to the last rank's start, {what}", unit="ms", ours=Sample(started)),
                 Row(f"from the last rank's end to the last launcher's, {launchers}", unit="ms",
                     ours=Sample(ended))]
    return rows


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def token_of(bench):
    path = bench.scratch / "token"
    if not path.exists():
        subprocess.run([bench.muster, "token", "--output", path], check=True,
                       stdout=subprocess.DEVNULL)
    return path


def meet(bench, launchers):
    """Seconds from the last launcher's start to the plan and to all ranks, and of the end."""
    go = bench.scratch / "go"
    go.unlink(missing_ok=True)
    port = free_port()
    place = bench.scratch / f"meet-{port}"
    events = bench.runs_dir / f"meet-{port}/events.jsonl"
    script = f"until [ -e {go} ]; do sleep 0.02; done"
    processes = []
    for rank in range(launchers):
        own = place / str(rank)
        own.mkdir(parents=True)
        processes.append(bench.start(
            [bench.muster, "run", "--nodes", str(launchers), "--node-rank", str(rank),
             "--rendezvous", f"127.0.0.1:{port}", "--token-file", token_of(bench), "-n", "1",
             *DIRECT, *(["--run-id", f"meet-{port}"] if rank == 0 else []), "--", "sh", "-c",
             script], cwd=own))
    begin = time.monotonic()
    plan = events.parent / "plan.json"
    planned = wait_for(lambda: plan.exists() and time.monotonic(), READY, "a plan of all nodes")
    started = wait_for(
        lambda: events.exists() and '"all_ranks_started"' in events.read_text(encoding="utf-8") and
        time.monotonic(), READY, "all ranks")
    go.touch()
    end = time.monotonic()
    codes = {process.wait(READY) for process in processes}
    if codes != {0}:
        raise Waived(f"launchers ended with {sorted(codes)}")
    return planned - begin, started - begin, time.monotonic() - end
