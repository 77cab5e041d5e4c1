"""Agent: spawn to exec of the training process against a direct spawn, and its resident memory."""

import subprocess
import time
from pathlib import Path

from measure import Row, Sample, Waived, descendants_named, wait_for

EXTRA_US = 1500.0
MEMORY_MB = 3.0
WARM_UP = 10


def measure(bench):
    return [spawn_to_exec(bench), resident_memory(bench)]


def spawn_to_exec(bench):
    rounds = bench.rounds_or(200)
    argv = [bench.program("agent_start"), bench.agent, bench.program("tell_time"),
            str(rounds + WARM_UP)]
    try:
        done = subprocess.run(argv, env=bench.environment(TMPDIR=str(bench.scratch)),
                              capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        bench.end_strangers()
        raise Waived("agent_start did not end in 60 s") from None
    if done.returncode != 0:
        raise Waived(done.stderr.strip())
    pairs = [tuple(map(int, line.split())) for line in done.stdout.splitlines()][WARM_UP:]
    row = Row("agent: spawn to exec of the rank", "posix_spawn of the rank", "us",
              Sample([direct / 1000 for direct, _ in pairs]),
              Sample([agent / 1000 for _, agent in pairs]), "+ 1.5 ms")
    extra = Sample([(agent - direct) / 1000 for direct, agent in pairs])
    row.met = extra.median <= EXTRA_US
    row.notes.append(f"difference: median {extra.median:+.0f} us, best {extra.best:+.0f} us")
    return row


def resident_memory(bench):
    """Of the agents of a real run, a moment after their ranks were started."""
    values = []
    for _ in range(bench.rounds_or(3)):
        process = bench.start(bench.run_line(2, "sleep", "60", options=["--backend", "direct"]))
        try:
            wait_for(lambda: len(descendants_named(process.pid, "sleep")) == 2, 20, "the start")
            time.sleep(1)  # it looks at its rank now and then, which must not make it grow
            values += [resident_mb(pid) for pid in agents_of(process.pid)]
        finally:
            bench.end(process)
    row = Row("agent: resident memory", "", "MB", None, Sample(values), "<= 3 MB")
    row.met = max(values) <= MEMORY_MB
    row.notes.append(f"largest of {len(values)} agents: {max(values):.2f} MB; shared pages of libc "
                     "are counted")
    return row


def agents_of(pid):
    agents = descendants_named(pid, "muster-agent")
    if not agents:
        raise Waived("no agent was found")
    return agents


def resident_mb(pid):
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise Waived(f"/proc/{pid}/status has no VmRSS")
