"""Two launchers of one host, without namespaces and without any right: what of runs on several nodes is
left to try where namespaces are forbidden.  mpirun knows them by two names that resolve nowhere."""

import json
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

    def test_one_mpi_world(self):
        if not MPIRUN:
            self.skipTest("no mpirun")
        results = self.run_on_two(["--backend", "mpi", "--", muster_test.program("mpi_hello")])
        self.assert_codes(results, 0)
        self.assertIn("rank 0 of 4 sum 10", results[0].stdout)
        self.assert_nothing_left()


if __name__ == "__main__":
    muster_test.main()
