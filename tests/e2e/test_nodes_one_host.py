"""Two launchers of one host, without namespaces and without any right: what of runs on several nodes is
left to try where namespaces are forbidden.  mpirun knows them by two names that resolve nowhere."""

import json
import os
import signal

import muster_test
from muster_test import MPIRUN, wait_until
from nodes import NodesTest, host_nodes, why_no_namespaces

BACKENDS = ("direct", "mpi") if MPIRUN else ("direct",)


class OneHost(NodesTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        reason = why_no_namespaces()
        if reason:
            print(f"the tests with namespaces are skipped: {reason}")

    def setUp(self):
        super().setUp()
        self.launchers = host_nodes(self, 2)

    def run_on_two(self, args):
        return self.run_nodes(["-n", 2, *args], nodes=self.launchers,
                              head=f"file:{self.directory}/head-address")

    def test_a_run_is_whole(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                before = set(self.run_directories())
                results = self.run_on_two(["--backend", backend, "--", "sh", "-c",
                                           "echo $RANK of $WORLD_SIZE; mkdir -p outputs; echo $RANK > outputs/of-$RANK"])
                self.assert_codes(results, 0)
                [directory] = set(self.run_directories()) - before
                for rank in range(4):
                    said = directory / f"ranks/{rank:05d}/attempt-0/stdout.log"
                    self.assertEqual(said.read_text("utf-8"), f"{rank} of 4\n")
                    self.assertEqual((directory / f"outputs/of-{rank}").read_text("utf-8"),
                                     f"{rank}\n")
                plan = json.loads((directory / "plan.json").read_text("utf-8"))
                if backend == "mpi":
                    self.assertIn("--mca btl tcp,self", " ".join(plan["mpirun_argv"]))
                    self.assertIn("muster-1", json.dumps(plan))
                self.assert_code(self.run_muster(["verify", str(directory)]), 0)
                self.assert_nothing_left()

    def test_a_failure_ends_both_with_its_code(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                results = self.run_on_two(["--backend", backend, "--", "sh", "-c",
                                           "[ $RANK = 3 ] && exit 42; exec sleep 600"])
                self.assert_codes(results, 42)
                self.assertRegex(results[0].stderr, "rank 3 on .* failed first")
                self.assert_nothing_left()

    def test_a_stop_while_nodes_are_awaited_gives_the_signals_code(self):
        file = f"file:{self.directory}/head-address"
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                started = [self.start_node(node, ["-n", 1, "--", "true"], 3, head=file)
                           for node in self.launchers]
                wait_until(lambda: b"waits for node rank 2" in started[0].output(), 30, "two of three")
                started[0].send(number)
                results = self.wait_nodes(started, 30)
                self.assert_codes(results, 128 + number)
                said = f"stopped by {number.name} before the run had begun"
                self.assertIn(said, results[0].stderr)
                self.assertIn("the run has not begun", results[1].stderr)
                self.assert_nothing_left()

    def start_preparing(self):
        """Two launchers whose mount helpers never get ready."""
        (self.directory / "head-address").unlink(missing_ok=True)
        helpers = self.directory / "helpers"
        helpers.mkdir(exist_ok=True)
        (helpers / "rclone").write_text("#!/bin/sh\n[ $1 = version ] && exec echo rclone v1.60.1\n"
                                        "exec sleep 600\n", "utf-8")
        (helpers / "rclone").chmod(0o755)
        (self.work_dir / "datastores.yaml").write_text(
            "datastores: {remote: {type: rclone, remote: 'nowhere:'}}\n", "utf-8")
        (self.work_dir / "run.yaml").write_text(
            "command: 'true'\ninputs: {digits: {path: 'datastore://remote/digits'}}\n", "utf-8")
        path = {"PATH": f"{helpers}:{os.environ['PATH']}"}
        started = [self.start_node(node, ["-n", 1, "--backend", "direct", "run.yaml"], 2,
                                   head=f"file:{self.directory}/head-address", env=path)
                   for node in self.launchers]

        def both_prepare():
            parents = {each.parent for each in self.processes() if "sleep 600" in repr(each)}
            return parents >= {each.pid for each in started} or any(
                each.process.poll() is not None for each in started)
        wait_until(both_prepare, 30, "both prepare")
        return started

    def test_a_stop_while_nodes_prepare_ends_all(self):
        for node in (0, 1):
            with self.subTest(stopped_at=node):
                started = self.start_preparing()
                started[node].send(signal.SIGTERM)
                results = self.wait_nodes(started, 30)
                self.assert_codes(results, 143)
                self.assertRegex(results[0].stderr, "(stopped|cancelled) by SIGTERM")
                self.assert_nothing_left()

    def test_a_head_that_is_killed_while_nodes_prepare_leaves_nothing(self):
        started = self.start_preparing()
        started[0].send(signal.SIGKILL)
        results = self.wait_nodes(started, 30)
        self.assertNotEqual(results[1].code, 0)
        self.assertIn("head", results[1].stderr)
        self.assert_nothing_left()

    def test_a_node_that_cannot_prepare_is_named_at_once(self):
        started = self.start_preparing()
        [helper] = [each for each in self.processes() if each.parent == started[1].pid]
        os.kill(helper.pid, signal.SIGKILL)
        results = self.wait_nodes(started, 30)
        self.assertEqual(results[0].code, results[1].code)
        self.assertNotEqual(results[0].code, 0)
        self.assertRegex(results[0].stderr, r"-1: .*rclone")
        self.assert_nothing_left()

    def test_one_mpi_world(self):
        if not MPIRUN:
            self.skipTest("no mpirun")
        results = self.run_on_two(["--backend", "mpi", "--", muster_test.program("mpi_hello")])
        self.assert_codes(results, 0)
        self.assertIn("rank 0 of 4 sum 10", results[0].stdout)
        self.assert_nothing_left()


if __name__ == "__main__":
    muster_test.main()
