"""Real training on several nodes comes to the numbers of one node, to the last digit."""

import importlib.util
import subprocess
import unittest

import muster_test
from muster_test import PYTHON, needs_mpirun
from nodes import NodesTest

EXAMPLES = muster_test.SOURCE_DIR / "examples"
RANKS = 3


def needs(*modules):
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)} (scripts/setup)")


class Training(NodesTest):
    def told(self):
        """What rank 0 said of its training, of a run whose directory then goes away."""
        [directory] = self.run_directories()
        self.assert_code(self.run_muster(["verify", str(directory)]), 0)
        text = (directory / "ranks/00000/attempt-0/stdout.log").read_text("utf-8")
        self.assertIn(f"over {RANKS} ranks", text)
        self.assertIn("accuracy=", text)
        subprocess.run(["rm", "-rf", directory], check=True)
        return text

    def equal_to_one_node(self, example, backends):
        self.make_world(RANKS)
        config = EXAMPLES / example / "run.yaml"
        for backend in backends:
            with self.subTest(backend):
                one = self.run_muster(["run", "-n", RANKS, "--backend", backend, config], timeout=240)
                self.assert_code(one, 0)
                alone = self.told()
                results = self.run_nodes(["-n", 1, "--backend", backend, config], timeout=240)
                self.assert_codes(results, 0)
                self.assertEqual(self.told(), alone)

    @needs("torch", "sklearn")
    def test_torch_ddp_direct(self):
        self.equal_to_one_node("digits_ddp", ["direct"])

    @needs("torch", "sklearn")
    @needs_mpirun
    def test_torch_ddp_through_mpirun(self):
        self.equal_to_one_node("digits_ddp", ["mpi"])

    @needs("mpi4py", "sklearn")
    @needs_mpirun
    def test_mpi4py(self):
        self.equal_to_one_node("digits_mpi4py", ["mpi"])


class EightNodes(NodesTest):
    def test_direct(self):
        self.make_world(8)
        results = self.run_nodes(["-n", 2, "--backend", "direct", "--", "sh", "-c",
                                  "echo $RANK of $WORLD_SIZE on $(uname -n)"])
        self.assert_codes(results, 0)
        [directory] = self.run_directories()
        for rank in range(16):
            said = (directory / f"ranks/{rank:05d}/attempt-0/stdout.log").read_text("utf-8")
            self.assertEqual(said, f"{rank} of 16 on node-{'abcdefgh'[rank // 2]}\n")

    @needs("mpi4py")
    @needs_mpirun
    def test_mpi(self):
        self.make_world(8)
        results = self.run_nodes(
            ["-n", 1, "--backend", "mpi", "--", PYTHON, "-c",
             "from mpi4py import MPI; w = MPI.COMM_WORLD; print(w.allreduce(w.rank), w.size)"],
            timeout=120)
        self.assert_codes(results, 0)
        [directory] = self.run_directories()
        for rank in range(8):
            said = (directory / f"ranks/{rank:05d}/attempt-0/stdout.log").read_text("utf-8")
            self.assertEqual(said, "28 8\n")


if __name__ == "__main__":
    muster_test.main()
