"""Ways in which MPI programs end, and ranks that form MPI worlds of their own."""

import os
import resource
import signal
import unittest

import muster_test
from muster_test import ROUNDS, program, wait_until


@muster_test.needs_mpirun
class MpiEnds(muster_test.MusterTest):
    def run_ranks(self, ranks, *command, backend="mpi"):
        result = self.run_muster(["run", "-n", ranks, "--backend", backend, "--console", "all",
                                  "--", *command])
        self.assert_nothing_left()
        self.assert_runtime_empty()
        return result

    def assert_first_failure(self, result, rank, how, value):
        first = result.run_json["first_failure"]
        self.assertEqual((first["rank"], first["how"], first["value"], first["origin"]),
                         (rank, how, value, "training"), f"\n{result}")
        self.assertIn(f"rank {rank} on ", result.stderr)

    def test_an_allreduce_works_at_2_and_4_ranks(self):
        for ranks in (2, 4):
            result = self.run_ranks(ranks, program("mpi_hello"))
            self.assert_code(result, 0)
            total = ranks * (ranks + 1) // 2
            for rank in range(ranks):
                self.assertEqual(result.rank_bytes(rank),
                                 f"rank {rank} of {ranks} sum {total}\n".encode())
            self.assertEqual([text for text in result.run_json["warnings"] if "world" in text], [])

    @unittest.skipIf(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096,
                     "the hard limit of open files is below what 256 ranks need")
    def test_256_ranks_start_and_end(self):
        for backend in ("mpi", "direct"):
            with self.subTest(backend):
                result = self.run_ranks(256, "sh", "-c", 'echo "rank $RANK"', backend=backend)
                self.assert_code(result, 0)
                self.assertEqual([result.rank_bytes(rank) for rank in range(256)],
                                 [f"rank {rank}\n".encode() for rank in range(256)])

    def test_mpirun_signals_no_agent_with_itself(self):
        # It signals process groups, and what it starts by posix_spawn begins in its own.
        running = self.start_muster(["run", "-n", 3, "--backend", "mpi", "--", "sh", "-c",
                                     "touch up-$RANK; exec sleep 600"])
        wait_until(lambda: all((self.work_dir / f"up-{rank}").exists() for rank in range(3)),
                   seconds=30, what="all ranks")
        agents = [each.pid for each in self.processes()
                  if os.path.basename(each.argv[0]) == "muster-agent"]
        self.assertEqual(len(agents), 3)
        for agent in agents:
            self.assertEqual(os.getpgid(agent), agent)
        running.send(signal.SIGTERM)
        self.assert_code(running.wait(), 143)
        self.assert_nothing_left()

    def test_abort_gives_its_code_and_its_rank(self):
        for number in range(ROUNDS):
            rank = number % 4
            with self.subTest(round=number, rank=rank):
                result = self.run_ranks(4, program("mpi_abort"), 3, rank)
                self.assert_code(result, 3)
                self.assert_first_failure(result, rank, "exited", 3)

    def test_ranks_without_finalize_end_with_0(self):
        for number in range(ROUNDS):
            with self.subTest(round=number):
                result = self.run_ranks(4, program("mpi_no_finalize"))
                self.assert_code(result, 0)
                self.assertEqual(result.run_json["status"], "succeeded")

    def test_a_rank_that_ends_early_with_0_leaves_the_others_alone(self):
        for options in ((), ("--skip-finalize",)):
            with self.subTest(options=options):
                result = self.run_ranks(4, program("mpi_early_exit"), *options)
                self.assert_code(result, 0)
                self.assertEqual([result.rank_bytes(rank) for rank in range(4)],
                                 [b""] + [f"rank {rank} went on\n".encode() for rank in (1, 2, 3)])

    def test_a_rank_that_exits_after_init_gives_its_code(self):
        for number in range(ROUNDS):
            rank = number % 4
            with self.subTest(round=number, rank=rank):
                # Not exec: the shell would be the MPI process.  All ranks pass their barrier first.
                result = self.run_ranks(
                    4, "sh", "-c", f'[ "$RANK" = {rank} ] || exec "$1" 600; exec "$0" 5',
                    program("mpi_no_finalize"), program("mpi_sleep"))
                self.assert_code(result, 5)
                self.assert_first_failure(result, rank, "exited", 5)
                self.assertIn("the other 3 ranks were ended because of it", result.stderr)

    def assert_warns_of_separate_worlds(self, result, library, ranks, words):
        self.assert_code(result, 0)
        warnings = [text for text in result.run_json["warnings"] if "MPI world of one" in text]
        self.assertEqual(len(warnings), 1, f"\n{result}")
        self.assertRegex(warnings[0], rf"^{ranks} use {library}\S* ?.*{words}")
        self.assertIn(f"warning: {warnings[0]}", result.stderr)

    def test_mpi_programs_without_mpirun_are_separate_worlds_and_a_warning_says_so(self):
        result = self.run_ranks(2, program("mpi_sleep"), 1.5, backend="direct")
        self.assert_warns_of_separate_worlds(result, r"libmpi\.so\.40", "ranks 0-1",
                                             "without mpirun.*--backend mpi")

    def test_another_mpi_library_under_mpirun_is_separate_worlds_and_a_warning_says_so(self):
        result = self.run_ranks(2, program("fake_mpich_hello"))
        self.assertEqual(result.rank_bytes(1), b"rank 0 of 1\n")
        self.assert_warns_of_separate_worlds(result, r"libmpich\.so\.12", "ranks 0-1",
                                             r"not the MPI of \S+mpirun")

    def test_another_mpi_library_without_mpirun_too(self):
        result = self.run_ranks(2, program("fake_mpich_hello"), backend="direct")
        self.assert_warns_of_separate_worlds(result, r"libmpich\.so\.12", "ranks 0-1",
                                             "without mpirun")

    def test_one_rank_is_a_world_of_one_by_right(self):
        result = self.run_ranks(1, program("mpi_sleep"), 0.5, backend="none")
        self.assert_code(result, 0)
        self.assertEqual(result.run_json["warnings"], [])


if __name__ == "__main__":
    muster_test.main()
