"""Faults of runs on several nodes: cut links, lost power, and kill -9 of anything at any moment.

MUSTER_SEEDS is how many rounds there are, of random kills and of nodes that die; MUSTER_FAULTS=long
does as many of cut links and frozen nodes, freezes for 30 s, and loads the machine for ten minutes.
"""

import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time

import muster_test
from chaos import LONG, events_of, seeds
from muster_test import MPIRUN, program, wait_until
from nodes import NodesTest

BACKENDS = ("direct", "mpi") if MPIRUN else ("direct",)
LOST_AFTER = 5
# A double fork in a session of its own, and a rank that is stopped: what outlives careless launchers.
HARD_TO_END = ("setsid sh -c 'sleep 600 & exec sleep 600' >/dev/null 2>&1 & "
               "echo up; [ \"$RANK\" = 1 ] && kill -STOP $$; while :; do sleep 0.1; done")
# What one start of many does in full: it depends on no seed.
WHOLE = LONG and 1 in seeds()
CODES = range(1, 256) if WHOLE else (1, 2, 127, 200, 255)
# Those that end nobody by default are not among them.
HARMLESS = {signal.SIGCHLD, signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN,
            signal.SIGTTOU, signal.SIGURG, signal.SIGWINCH}
SIGNALS = (sorted(signal.valid_signals() - HARMLESS) if WHOLE else
           (signal.SIGABRT, signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM))


class NodeFaults(NodesTest):
    def setUp(self):
        super().setUp()
        self.make_world(3)

    def start_up(self, backend, command, ranks=3, *options):
        """A run whose ranks have all said something."""
        before = set(self.run_directories())
        launchers = self.start_nodes(["-n", ranks // 3, "--backend", backend, *options, "--", "sh",
                                      "-c", command])

        def all_up():
            new = set(self.run_directories()) - before
            logs = [log for each in new for log in each.glob("ranks/*/attempt-0/stdout.log")]
            return len([log for log in logs if log.stat().st_size]) == ranks
        wait_until(all_up, 60, "the start of all ranks")
        return launchers

    def test_a_node_that_dies_is_named_at_once_and_all_ends(self):
        verdicts, ends = [], []
        for seed in seeds():
            backend = BACKENDS[seed % len(BACKENDS)]
            with self.subTest(seed=seed, backend=backend):
                launchers = self.start_up(backend, "echo up; while :; do sleep 0.1; done")
                head = launchers[0]
                began = time.monotonic()
                self.world[1].kill()
                wait_until(lambda: b"node-b (node rank 1) was lost" in head.output(), 30)
                verdicts.append(time.monotonic() - began)
                results = self.wait_nodes([launchers[0], launchers[2]], 60)
                wait_until(lambda: not any(each.processes() for each in self.world), 30)
                ends.append(time.monotonic() - began)
                self.assert_codes(results, 71)
                self.assert_nodes_clean([self.world[0], self.world[2]])
                for directory in self.run_directories():
                    subprocess.run(["rm", "-rf", directory], check=True)
        for what, times in (("named", verdicts), ("all gone", ends)):
            times.sort()
            print(f"{what} after {statistics.median(times):.2f} s in the median, "
                  f"{times[int(0.99 * (len(times) - 1))]:.2f} s at p99, {times[-1]:.2f} s at most, "
                  f"{len(times)} rounds")

    def keep_all_cores_busy(self):
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
                for _ in range(2 * os.cpu_count())]
        self.addCleanup(lambda: [each.wait() for each in busy])
        self.addCleanup(lambda: [each.kill() for each in busy])

    def test_a_run_that_fails_at_once_ends_on_busy_machines(self):
        """Its end overtakes its start: members hear of both together."""
        self.keep_all_cores_busy()
        for seed in seeds():
            for backend in BACKENDS * 4:
                with self.subTest(seed=seed, backend=backend):
                    results = self.run_nodes(
                        ["-n", 1, "--backend", backend, "--console", "none", "--", "sh", "-c",
                         f"[ $RANK = {seed % 3} ] && exit 42; exec sleep 600"], timeout=40)
                    self.assert_codes(results, 42)
        self.assert_nodes_clean()

    def test_no_node_is_suspect_while_all_cores_are_busy(self):
        seconds = 600 if WHOLE else 30
        launchers = self.start_up("direct", "echo up; while :; do sleep 1; done")
        self.keep_all_cores_busy()
        time.sleep(seconds)
        [directory] = self.run_directories()
        self.assertEqual([each for each in events_of(directory) if "node_" in each["event"]], [])
        self.assertNotIn(b"silent", b"".join(each.output() for each in launchers))
        launchers[0].send(signal.SIGTERM)
        self.assert_codes(self.wait_nodes(launchers, 60), 143)

    def test_a_cut_link_is_suspect_and_then_lost_by_name(self):
        rounds = seeds() if LONG else [1]
        for backend in [backend for _ in rounds for backend in BACKENDS]:
            with self.subTest(backend):
                launchers = self.start_up(backend, "echo up; while :; do sleep 0.1; done", 3,
                                          "--set", f"limits.node_lost_after={LOST_AFTER}s")
                began = time.monotonic()
                self.world[1].cut()
                self.addCleanup(self.world[1].heal)
                head = launchers[0]
                wait_until(lambda: b"node-b (node rank 1) has been silent" in head.output(), 30)
                suspect = time.monotonic() - began
                results = self.wait_nodes(launchers, 60)
                ended = time.monotonic() - began
                print(f"{backend}: suspect after {suspect:.2f} s, all ended after {ended:.2f} s "
                      f"(lost after {LOST_AFTER} s)")
                self.assertGreater(ended, LOST_AFTER - 1)
                # On the node that was cut off, too; limits.node_lost_after is 35 s by default.
                self.assertLess(ended, 30)
                self.assertEqual([results[0].code, results[2].code], [71, 71], f"{results}")
                self.assertIn("node-b (node rank 1) was lost", results[0].stderr)
                self.assertNotEqual(results[1].code, 0)
                self.assert_nodes_clean()
                self.world[1].heal()

    def test_kill_9_of_anything_at_any_moment_leaves_nothing(self):
        for seed in seeds():
            chance = random.Random(f"{seed} kill")
            backend = chance.choice(BACKENDS)
            with self.subTest(seed=seed, backend=backend):
                launchers = self.start_nodes(["-n", 2, "--backend", backend, "--join-timeout", "20s",
                                              "--set",
                                              "limits.failure_grace_period=0s", "--", "sh", "-c",
                                              HARD_TO_END])
                time.sleep(chance.uniform(0, 2.5))
                node = chance.choice(list(self.world))
                victim = chance.choice(node.processes() or [launchers[node.rank].pid])
                try:
                    what = repr(muster_test.Process(victim))
                    os.kill(victim, signal.SIGKILL)
                except OSError:
                    what = "one that had ended"
                # A bystander's death (a `sleep` that a rank forked) need not end the run, and for a
                # launcher that dies before all have met, another one is waited for.
                time.sleep(1.5)
                if launchers[0].process.poll() is None:
                    launchers[0].send(signal.SIGTERM)
                results = self.wait_nodes(launchers, 60)
                self.assertNotIn(0, [each.code for each in results], what)
                deadline = time.monotonic() + 10
                while left := [pid for each in self.world for pid in each.processes()]:
                    if time.monotonic() > deadline:
                        self.fail(f"{what} was killed; left: "
                                  f"{[repr(muster_test.Process(pid)) for pid in left]}")
                    time.sleep(0.05)

    def test_codes_and_signals_of_a_rank_of_three_nodes_and_of_one(self):
        cases = [("exit", code, code) for code in CODES]
        cases += [("signal", int(number), 128 + number) for number in SIGNALS]
        for index, (how, value, code) in enumerate(cases):
            for backend in BACKENDS:
                rank = index % 3
                with self.subTest(backend=backend, how=how, value=value, rank=rank):
                    words = f"{value}" if how == "exit" else f"--signal {value}"
                    results = self.run_nodes(
                        ["-n", 1, "--backend", backend, "--console", "none", "--", "sh", "-c",
                         f"[ $RANK = {rank} ] && exec '{program('exit_with')}' {words}; "
                         "exec sleep 600"])
                    self.assert_codes(results, code)
                    self.assertRegex(results[0].stderr,
                                     rf"rank {rank} on node-{'abc'[rank]} failed first")
                    alone = self.run_muster(
                        ["run", "-n", 3, "--backend", backend, "--console", "none", "--", "sh", "-c",
                         f"[ $RANK = {rank} ] && exec '{program('exit_with')}' {words}; "
                         "exec sleep 600"])
                    self.assert_code(alone, code)
                    self.assertRegex(alone.stderr, rf"rank {rank} on \S+ failed first")
        self.assert_nodes_clean()

    def test_a_node_frozen_for_a_while_goes_on(self):
        for number in seeds() if LONG else [1]:
            seconds = 30 if LONG and number % 2 else 10
            with self.subTest(number=number, seconds=seconds):
                launchers = self.start_up("direct", f"echo up; sleep {seconds + 4}; echo end")
                self.world[2].freeze()
                time.sleep(seconds)
                self.world[2].thaw()
                results = self.wait_nodes(launchers, 90)
                self.assert_codes(results, 0)
                self.assertTrue(re.search(r"node-c \(node rank 2\) has been silent",
                                          results[0].stderr), results[0])
                self.assert_nodes_clean()


if __name__ == "__main__":
    muster_test.main()
