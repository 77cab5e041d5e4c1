"""Several nodes: start and end of ranks on 3 and 8 network namespaces of this machine, against mpirun
with a plain agent that enters the other node's namespaces."""

import shutil
import time
import unittest

import nodes
from measure import MPIRUN, Row, Waived, wait_gone

# nodes, ranks of each, rounds
SIZES = ((3, 1, 9), (3, 4, 7), (8, 1, 7), (8, 8, 3))
# What `ip netns exec` is for a network namespace alone: node-a is in the file named so.
AGENT = """#!/bin/sh
read -r pid <"{directory}/$1" || exit 7
shift
exec nsenter --net=/proc/$pid/ns/net --uts=/proc/$pid/ns/uts --mount=/proc/$pid/ns/mnt \
  --wdns="$PWD" env TMPDIR="{directory}/tmp-$pid" sh -c "$*"
"""


class Place:
    """What a World asks of a test, for a benchmark."""

    def __init__(self, bench):
        self.bench = bench
        self.mark = bench.mark
        self.directory = bench.scratch / "world"
        self.work_dir = self.directory / "work"
        self.runs_dir = bench.runs_dir
        self.work_dir.mkdir(parents=True)
        self.cleanups = []

    def addCleanup(self, function):  # pylint: disable=invalid-name
        self.cleanups.append(function)

    def environment(self, changes=None):
        return self.bench.environment(TEST_MARK=self.mark, **(changes or {}))

    def close(self):
        for function in reversed(self.cleanups):
            function()
        shutil.rmtree(self.directory, ignore_errors=True)


def measure(bench):
    rows = []
    for count, ranks, rounds in SIZES:
        what = f"start and end, {count} nodes x {ranks} ranks"
        place = Place(bench)
        try:
            world = nodes.World(place, count)
            rows += through_mpirun(bench, place, world, ranks, bench.rounds_or(rounds), what)
        except unittest.SkipTest as skipped:
            rows.append(Row(what, waived=str(skipped)))
        except Waived as waived:
            rows.append(Row(what, waived=str(waived)))
        finally:
            place.close()
    return rows


def through_mpirun(bench, place, world, ranks, rounds, what):
    peer = peer_line(place, world, ranks)
    arms = {
        "mpirun": lambda: milliseconds(bench, place, [(world[0], peer)]),
        "mpi": lambda: milliseconds(bench, place, launchers(bench, place, world, ranks, "mpi")),
        "direct": lambda: milliseconds(bench, place,
                                       launchers(bench, place, world, ranks, "direct")),
    }
    samples, hung = bench.interleaved(arms, rounds)
    rows = []
    for arm, name in (("mpi", what), ("direct", f"{what}, without MPI")):
        row = Row(name, "mpirun, plain agent", "ms", samples["mpirun"], samples[arm])
        if hung["mpirun"]:
            row.notes.append(f"mpirun hung {hung['mpirun']} times; not timed")
        if hung[arm]:
            row.notes.append(f"ours HUNG {hung[arm]} times; not timed")
            row.met = False
        rows.append(row)
    return rows


def peer_line(place, world, ranks):
    """mpirun in the first node, `true` on all; the agent is what ssh would be."""
    if MPIRUN is None:
        raise Waived("no mpirun on PATH")
    agents = place.directory / "agent"
    agents.mkdir()
    for node in world:
        (agents / node.host).write_text(f"{node.holder.pid}\n", encoding="utf-8")
        (agents / f"tmp-{node.holder.pid}").mkdir(mode=0o700)
    agent = agents / "agent"
    agent.write_text(AGENT.format(directory=agents), encoding="utf-8")
    agent.chmod(0o755)
    hosts = place.directory / "hostfile"
    hosts.write_text("".join(f"{node.host} slots={ranks}\n" for node in world), encoding="utf-8")
    return [MPIRUN, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none",
            "--mca", "odls_base_num_threads", "0", "--mca", "plm_rsh_agent", str(agent),
            "--mca", "oob_tcp_if_include", "10.77.0.0/24", "--hostfile", str(hosts),
            "-np", str(ranks * len(world)), "true"]


def launchers(bench, place, world, ranks, backend):
    """[(node, command)] of a run, the head first."""
    token = place.directory / "token"
    if not token.exists():
        token.write_text("a token of this benchmark: 0123456789 0123456789\n", encoding="utf-8")
        token.chmod(0o600)
    return [(node, [bench.muster, "run", "--nodes", str(len(world)), "--node-rank", str(node.rank),
                    "--rendezvous", f"{world[0].address}:{nodes.PORT}", "--token-file", str(token),
                    "-n", str(ranks), "--backend", backend, "--", "true"]) for node in world]


def milliseconds(bench, place, commands, timeout=60.0):
    """From the start of the first command to the end of the last; None when one did not end."""
    begin = time.monotonic()
    processes = [bench.start([*node.inside, *argv], cwd=place.work_dir,
                             **place.environment(node.environment)) for node, argv in commands]
    ended = wait_gone([each.pid for each in processes], timeout)
    seconds = time.monotonic() - begin
    if not ended:
        for process in processes:
            bench.end(process)
        return None
    codes = [process.wait() for process in processes]
    if any(codes):
        bench.end_strangers()
        raise Waived(f"`{' '.join(map(str, commands[0][1][:8]))} …` ended with {codes}")
    return seconds * 1000
