"""Scripts that were written for Azure ML and Batch AI: what they read leads their ranks together."""

import importlib.util
import json
import os
import unittest

import muster_test
from muster_test import MusterTest, needs_mpirun, program

HELPERS = muster_test.SOURCE_DIR / "tests/programs/azureml_helpers.py"
PYTHON = "/usr/bin/python3"
ROUNDS = int(os.environ.get("MUSTER_ROUNDS", "2"))
FIXED = {"later_copy_with_its_own_port": ("127.0.0.1", 6105),
         "single_node_branch": ("localhost", 54965)}

# A rank leaves a file in each directory that a variable names, and says what the others left.
LEAVES_FILES = r"""
for name in $(env | sed -n 's/^\(AZ_BATCH[A-Z_]*_\(DIR\|ROOT\|TEMP\)\)=.*/\1/p' | sort -u); do
  eval "directory=\$$name"
  echo "$RANK" > "$directory/left-by-$RANK.$name" || exit 3
  echo "$name $directory"
done
echo "AZ_BATCHAI_MPI_HOST_FILE $(cat "$AZ_BATCHAI_MPI_HOST_FILE")"
"""


class Helpers:
    backend = ""
    words = ()

    def run_helpers(self, count, *words, timeout=240):
        """What each helper found, by rank, and the plan's variables that all ranks have."""
        result = self.run_muster(
            ["run", "-n", count, "--backend", self.backend, "--console", "none", *self.words, "--",
             PYTHON, "-B", HELPERS, *words], timeout=timeout)
        self.assert_code(result, 0)
        plan = json.loads((result.run_directory / "plan.json").read_text("utf-8"))
        found = [json.loads(result.rank_bytes(rank)) for rank in range(count)]
        return found, plan["environment"]["common"]

    def check(self, count):
        found, common = self.run_helpers(count)
        own = (common["MASTER_ADDR"], int(common["MASTER_PORT"]))
        service = ("127.0.0.1", int(common["AZ_BATCH_MASTER_NODE"].rpartition(":")[2]))
        self.assertNotEqual(own[1], service[1])
        places = {**FIXED, "early_copy": service}
        for rank, of_rank in enumerate(found):
            for name, (own_rank, world, *place) in of_rank.items():
                self.assertEqual((own_rank, world), (rank, count), name)
                self.assertEqual(tuple(place), places.get(name, own), name)

    def test_one_rank(self):
        self.check(1)

    def test_two_ranks(self):
        for _ in range(ROUNDS):
            self.check(2)

    def test_four_ranks(self):
        self.check(4)


@needs_mpirun
class MpirunHelpers(Helpers, MusterTest):
    backend = "mpi"

    @unittest.skipIf(importlib.util.find_spec("torch") is None, "not installed: torch")
    def test_torch_meets_where_the_helpers_say(self):
        found, _ = self.run_helpers(2, "--torch", "early_copy", "later_copy", "single_node_branch",
                                    "batchai_init_method")
        self.assertEqual([of_rank["early_copy"][0] for of_rank in found], [0, 1])


    def test_intel_mpis_names_are_of_no_harm_to_open_mpi(self):
        result = self.run_muster(["run", "-n", "2", "--backend", "mpi", "--console", "none", "--set",
                                  "mpi_identity=emulate", "--", "sh", "-c",
                                  f'echo "$PMI_RANK/$PMI_SIZE"; exec {program("mpi_hello")}'])
        self.assert_code(result, 0)
        for rank in range(2):
            own, world = result.rank_bytes(rank).decode().splitlines()[:2]
            self.assertEqual(own, f"{rank}/2")
            self.assertRegex(world, rf"\b{rank}\b.*\b2\b")
        self.assertNotIn("world", result.stderr)  # no warning of worlds of one


class EmulatedHelpers(Helpers, MusterTest):
    backend = "direct"
    words = ("--set", "mpi_identity=emulate")


class DirectHelpers(MusterTest):
    def test_open_mpis_names_are_there_only_when_wanted(self):
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", PYTHON, "-B",
                                  HELPERS, "early_copy"])
        self.assert_code(result, 1)
        self.assertIn("KeyError: 'OMPI_COMM_WORLD_RANK'", result.stderr)


class Directories(MusterTest):
    def test_every_one_that_is_named_is_there_and_gone_after_the_run(self):
        (self.work_dir / "train.sh").write_text(LEAVES_FILES, "utf-8")
        path = self.work_dir / "run.yaml"
        path.write_text("source_directory: .\ncommand: sh train.sh\nprocess_count_per_node: 2\n"
                        "distributed_backend: direct\n", "utf-8")
        result = self.run_muster(["run", "--console", "none", path])
        self.assert_code(result, 0)
        named = dict(line.split(" ", 1) for line in result.rank_bytes(0).decode().splitlines())
        self.assertEqual(named.pop("AZ_BATCHAI_MPI_HOST_FILE"), "127.0.0.1 slots=2")
        self.assertEqual(len(named), 14, named)
        self.assertEqual(named["AZ_BATCHAI_JOB_WORK_DIR"], named["AZ_BATCH_TASK_WORKING_DIR"])
        kept = {result.run_directory / "ranks"}
        for name, directory in named.items():
            there = os.path.isdir(directory)
            self.assertEqual(there, muster_test.Path(directory) in kept, f"{name}={directory}")
        left = sorted(each.name for each in (result.run_directory / "ranks").glob("left-by-*"))
        self.assertEqual(left, [f"left-by-{rank}.AZ_BATCHAI_STDOUTERR_DIR" for rank in range(2)])
        self.assert_nothing_left()
        self.assert_runtime_empty()

    def test_they_go_also_when_the_run_fails(self):
        result = self.run_muster(["run", "--", "sh", "-c",
                                  'touch "$AZ_BATCHAI_JOB_TEMP/large"; exit 3'])
        self.assert_code(result, 3)
        self.assertFalse((result.run_directory / ".node").exists())

    def test_the_config_names_others(self):
        path = self.work_dir / "run.yaml"
        path.write_text("command: echo $AZ_BATCHAI_JOB_TEMP $AZ_BATCH_MASTER_NODE\nenvironment:\n"
                        "  variables: {AZ_BATCHAI_JOB_TEMP: /big, AZ_BATCH_MASTER_NODE: 'here:6000'}"
                        "\n", "utf-8")
        result = self.run_muster(["run", path])
        self.assert_code(result, 0)
        self.assertEqual(result.rank_bytes(0), b"/big here:6000\n")


if __name__ == "__main__":
    muster_test.main()
