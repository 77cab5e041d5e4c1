"""`muster run -n 4 -- CMD` ends with CMD's code, whichever rank fails and whoever starts the ranks,
and both the report and run.json name that rank.

By default the failing rank changes with the case; with MUSTER_ROUNDS above 5 every rank fails in
every case.
"""

import signal
import textwrap

import muster_test
from muster_test import PYTHON, ROUNDS, program

RANKS = 4
CODES = (1, 2, 7, 125, 255)
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGABRT, signal.SIGKILL, signal.SIGSEGV,
           signal.SIGTERM)

# Each rank says that it is there; rank $1 becomes the command when all are, the others sleep.  So
# the others are running, not starting, when it fails.
GATE = """
touch "up-$RANK"
[ "$RANK" = "$1" ] || exec sleep 600
shift
while [ "$(ls up-* | wc -l)" -lt "$WORLD_SIZE" ]; do sleep 0.01; done
exec "$@"
"""


class ExitCodeTest(muster_test.MusterTest):
    backend = "direct"

    def run_ranks(self, *command, options=()):
        """One run of four ranks in a working directory of its own."""
        work = self.work_dir / str(self.started)
        work.mkdir()
        return self.run_muster(
            ["run", "-n", RANKS, "--backend", self.backend, *options, "--", *command], cwd=work)

    def run_gated(self, failing_rank, *command):
        return self.run_ranks("sh", "-c", GATE, "gate", failing_rank, *command)

    def failing_ranks(self, case_number):
        return range(RANKS) if ROUNDS > 5 else [case_number % RANKS]

    def assert_rank_failed(self, result, rank, how, value, code, words):
        self.assert_code(result, code)
        record = result.run_json
        first = record["first_failure"]
        self.assertEqual((first["rank"], first["how"], first["value"], first["origin"]),
                         (rank, how, value, "training"), f"\n{result}")
        self.assertEqual((record["status"], record["exit_code"], record["origin"]),
                         ("failed", code, "training"))
        self.assertRegex(result.stderr, rf"rank {rank} on \S+ failed first, after [^:]+: {words}")
        self.assertIn(f"exit code {code}, origin: training", result.stderr)
        self.assert_nothing_left()
        self.assert_runtime_empty()

    def assert_others_stopped(self, result, rank):
        ends = {each["rank"]: each["how"] for each in result.run_json["attempts"][-1]["ranks"]}
        del ends[rank]
        self.assertEqual(set(ends.values()), {"stopped"}, f"\n{result}")
        self.assertEqual(len(ends), RANKS - 1)
        self.assertIn("the other 3 ranks were ended because of it", result.stderr)


class Direct(ExitCodeTest):
    def test_success_is_0(self):
        result = self.run_ranks(program("exit_with"), 0)
        self.assert_code(result, 0)
        record = result.run_json
        self.assertEqual((record["status"], record["exit_code"], record["origin"]),
                         ("succeeded", 0, "training"))
        self.assertIsNone(record["first_failure"])
        self.assertEqual([each["how"] for each in record["attempts"][-1]["ranks"]],
                         ["exited"] * RANKS)
        self.assert_nothing_left()
        self.assert_runtime_empty()

    def test_a_rank_that_exits_gives_the_code(self):
        for number, code in enumerate(CODES):
            for rank in self.failing_ranks(number):
                with self.subTest(code=code, rank=rank):
                    result = self.run_gated(rank, program("exit_with"), code)
                    self.assert_rank_failed(result, rank, "exited", code, code,
                                            f"exited with {code}")
                    self.assert_others_stopped(result, rank)

    def test_a_rank_that_is_killed_gives_128_and_the_signal(self):
        for number, signum in enumerate(SIGNALS):
            for rank in self.failing_ranks(number + 1):
                with self.subTest(signal=signum.name, rank=rank):
                    result = self.run_gated(rank, program("exit_with"), "--signal", int(signum))
                    self.assert_rank_failed(result, rank, "signaled", int(signum), 128 + signum,
                                            rf"killed by {signum.name} \(signal {int(signum)}\)")
                    self.assert_others_stopped(result, rank)

    def test_a_shell_of_one_rank_that_finds_no_program_gives_126_or_127(self):
        not_executable = self.work_dir / "not-executable"
        not_executable.write_text("#!/bin/sh\n", encoding="utf-8")
        cases = ((126, not_executable), (127, self.work_dir / "not-there"))
        for number, (code, path) in enumerate(cases):
            for rank in self.failing_ranks(number + 2):
                with self.subTest(code=code, rank=rank):
                    result = self.run_gated(rank, path)
                    self.assert_rank_failed(result, rank, "exited", code, code,
                                            f"exited with {code}")
                    self.assert_others_stopped(result, rank)

    def assert_exec_failed(self, result, code, words):
        self.assert_code(result, code)
        first = result.run_json["first_failure"]
        self.assertEqual((first["how"], first["value"], first["origin"]),
                         ("exec_failed", code, "training"), f"\n{result}")
        self.assertIn(first["rank"], range(RANKS))
        self.assertRegex(result.stderr,
                         rf"rank {first['rank']} on \S+ could not start its program: {words}")
        self.assert_nothing_left()
        self.assert_runtime_empty()

    def test_a_command_that_is_not_executable_is_126(self):
        path = self.work_dir / "not-executable"
        path.write_text("#!/bin/sh\n", encoding="utf-8")
        self.assert_exec_failed(self.run_ranks(path), 126, f"executing {path}: Permission denied")
        self.assert_exec_failed(self.run_ranks(self.work_dir), 126,
                                f"executing {self.work_dir}: Permission denied")

    def test_a_command_that_is_not_found_is_127(self):
        self.assert_exec_failed(self.run_ranks("no-such-program-of-ours"), 127,
                                "executing no-such-program-of-ours: not found on PATH")
        path = self.work_dir / "not-there"
        self.assert_exec_failed(self.run_ranks(path), 127,
                                f"executing {path}: No such file or directory")

    def test_the_first_of_several_failures_gives_the_code(self):
        # Rank 2 fails when rank 1 is gone; both are failures of their own.
        command = textwrap.dedent("""
            touch "up-$RANK"
            until [ -e up-0 ] && [ -e up-1 ] && [ -e up-2 ] && [ -e up-3 ]; do sleep 0.01; done
            trap 'exit 9' TERM
            [ "$RANK" = 1 ] && exit 5
            [ "$RANK" = 2 ] && sleep 0.2 && exit 6
            while :; do sleep 0.02; done
            """)
        result = self.run_ranks("sh", "-c", command)
        self.assert_rank_failed(result, 1, "exited", 5, 5, "exited with 5")
        # Codes of ranks that were asked to end are no failures.
        self.assert_others_stopped(result, 1)

    def test_a_pythons_exception_is_in_the_report(self):
        script = textwrap.dedent("""
            import os, time
            if os.environ["RANK"] != "3":
                time.sleep(600)
            def load(path):
                raise ValueError(f"no digits in {path}")
            load("data.csv")
            """)
        result = self.run_ranks(PYTHON, "-c", script)
        self.assert_rank_failed(result, 3, "exited", 1, 1, "exited with 1")
        self.assertRegex(result.stderr, r"its last lines on stderr \(\S+/ranks/00003/\S+\):")
        self.assertIn("| Traceback (most recent call last):", result.stderr)
        self.assertIn("| ValueError: no digits in data.csv", result.stderr)

    def test_the_report_has_the_last_20_lines_of_the_rank_that_failed(self):
        result = self.run_gated(2, "sh", "-c", "seq -f 'line %.0f.' 50 >&2; exit 4")
        self.assert_rank_failed(result, 2, "exited", 4, 4, "exited with 4")
        quoted = [line.split("| ", 1)[1] for line in result.stderr.splitlines() if "  | " in line]
        self.assertEqual(quoted, [f"line {number}." for number in range(31, 51)])
        self.assertEqual(len(result.rank_bytes(2, "stderr.log").splitlines()), 50)

    def test_a_rank_without_a_word_on_stderr_is_reported_with_its_stdout(self):
        result = self.run_gated(1, "sh", "-c", "echo step 12; exit 3")
        self.assert_rank_failed(result, 1, "exited", 3, 3, "exited with 3")
        self.assertRegex(result.stderr,
                         r"it wrote nothing to stderr; its last lines on stdout \(\S+\):\n"
                         r" +\| step 12\n")

    def test_a_rank_that_said_nothing_is_reported_as_that(self):
        result = self.run_gated(0, program("exit_with"), 3)
        self.assert_rank_failed(result, 0, "exited", 3, 3, "exited with 3")
        self.assertIn("it wrote nothing to stderr or stdout", result.stderr)

    def test_the_launchers_log_says_it_too(self):
        result = self.run_gated(3, program("exit_with"), "--signal", 9)
        self.assert_code(result, 137)
        logs = "".join(path.read_text(encoding="utf-8")
                       for path in (result.run_directory / "launcher").glob("*.log"))
        self.assertIn("rank 3 killed by SIGKILL (signal 9)", logs)


@muster_test.needs_mpirun
class Mpirun(Direct):
    backend = "mpi"


if __name__ == "__main__":
    muster_test.main()
