"""The test programs and the harness are right themselves: other tests lean on them."""

import json
import os
import signal
import subprocess
import time
import unittest

import muster_test
from muster_test import program, wait_until


class ProgramTest(muster_test.MusterTest):
    def run_program(self, name, *args, env=None, stdout=subprocess.PIPE):
        return subprocess.run([program(name), *map(str, args)], env=self.environment(env),
                              cwd=self.work_dir, stdout=stdout, stderr=subprocess.PIPE, timeout=60,
                              check=False)


class Flood(ProgramTest):
    def flood(self, *args, env=None):
        path = self.directory / "flood"
        with open(path, "wb") as file:
            return path, self.run_program("flood", *args, env=env, stdout=file)

    def test_writes_the_bytes_that_the_harness_expects(self):
        length = (3 << 20) + 5
        path, result = self.flood("--bytes", length, "--chunk", 1013, env={"RANK": 3})
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIsNone(muster_test.flood_difference(path, 3, length))

    def test_has_no_newline_in_its_first_part_and_some_later(self):
        path, _ = self.flood("--bytes", "3M", "--no-newline-for", "2M")
        data = path.read_bytes()
        self.assertNotIn(b"\n", data[:2 << 20])
        self.assertIn(b"\n", data[2 << 20:])
        self.assertIsNone(muster_test.flood_difference(path, 0, 3 << 20, no_newline_for=2 << 20))
        self.assertRaises(UnicodeDecodeError, data.decode)

    def test_differs_between_ranks(self):
        path, _ = self.flood("--bytes", "1M", "--rank", 1)
        self.assertIn("offset 0", muster_test.flood_difference(path, 2, 1 << 20))

    def test_a_wrong_or_a_missing_byte_is_found(self):
        path, _ = self.flood("--bytes", "2M")
        with open(path, "r+b") as file:
            file.seek(1234567)
            byte = file.read(1)[0]
            file.seek(1234567)
            file.write(bytes([byte ^ 1]))
        self.assertIn("offset 1234567", muster_test.flood_difference(path, 0, 2 << 20))
        os.truncate(path, (2 << 20) - 1)
        self.assertIn("not 2097152", muster_test.flood_difference(path, 0, 2 << 20))

    def test_counts_what_write_returned_for_and_is_killed_after_the_last_write(self):
        count = self.directory / "count"
        path, result = self.flood("--bytes", 1000001, "--kill-self", 9, "--count-file", count)
        self.assertEqual(result.returncode, -9)
        self.assertEqual(muster_test.flood_count(count), 1000001)
        self.assertEqual(path.stat().st_size, 1000001)
        _, result = self.flood("--bytes", "1K", "--print-count")
        self.assertEqual(result.stderr, b"wrote 1024\n")

    def test_any_window_of_the_expected_bytes_is_the_same(self):
        whole = muster_test.flood_bytes(5, 0, 1000, no_newline_for=700)
        for offset, length in ((0, 1), (3, 8), (690, 20), (993, 7)):
            window = muster_test.flood_bytes(5, offset, length, no_newline_for=700)
            self.assertEqual(window.tobytes(), whole[offset:offset + length].tobytes())


class UnderSeccomp(ProgramTest):
    SCRIPT = ("import ctypes; libc = ctypes.CDLL(None, use_errno=True); "
              "print(libc.pidfd_open(-1, 0), ctypes.get_errno())")

    def test_a_call_fails_with_the_error_that_was_asked_for(self):
        for name, number in (("EPERM", 1), ("ENOSYS", 38)):
            result = self.run_program("under_seccomp", "--errno", name, "pidfd_open,openat2", "--",
                                      muster_test.PYTHON, "-c", self.SCRIPT)
            self.assertEqual(result.stdout, f"-1 {number}\n".encode(), result.stderr)

    def test_other_calls_do_not(self):
        result = self.run_program("under_seccomp", "--errno", "EPERM", "openat2", "--",
                                  muster_test.PYTHON, "-c", self.SCRIPT)
        self.assertEqual(result.stdout, b"-1 22\n", result.stderr)  # EINVAL: the call works

    def test_what_it_does_not_know_it_refuses(self):
        for words in (("pidfd_opne", "--", "true"), ("pidfd_open", "--"), ("pidfd_open", "true"),
                      ("--errno", "ENOENT", "pidfd_open", "--", "true")):
            result = self.run_program("under_seccomp", *words)
            self.assertEqual(result.returncode, 64, words)
            self.assertIn(b"under_seccomp: error: ", result.stderr)

    def test_the_programs_exit_code_is_its_own(self):
        result = self.run_program("under_seccomp", "clone3", "--", "sh", "-c", "exit 7")
        self.assertEqual(result.returncode, 7)


class Endings(ProgramTest):
    def test_exit_with_ends_with_each_code_and_signal(self):
        for code in (0, 1, 2, 7, 125, 255):
            self.assertEqual(self.run_program("exit_with", code).returncode, code)
        for number in (1, 2, 6, 9, 11, 15):
            self.assertEqual(self.run_program("exit_with", "--signal", number).returncode, -number)

    def test_exit_with_fails_on_its_rank_alone(self):
        args = (7, "--rank", 2, "--others-sleep", 0, "--message", "no disk")
        result = self.run_program("exit_with", *args, env={"RANK": 2})
        self.assertEqual((result.returncode, result.stderr), (7, b"no disk\n"))
        self.assertEqual(self.run_program("exit_with", *args, env={"RANK": 1}).returncode, 0)

    def test_prints_then_killed_prints_everything_first(self):
        result = self.run_program("prints_then_killed", 50, env={"RANK": 4})
        self.assertEqual(result.returncode, -9)
        lines = result.stdout.decode().split("\n")
        self.assertEqual(lines[49:], ["rank 4 stdout line 49", "rank 4 last words"])
        self.assertTrue(result.stderr.endswith(b"rank 4 stderr line 49\nrank 4 last words"))

    def test_ignores_term_until_killed(self):
        process = subprocess.Popen([program("ignores_term")], stdout=subprocess.PIPE,
                                   env=self.environment())
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
        time.sleep(0.1)
        self.assertIsNone(process.poll())
        process.kill()
        self.assertEqual(process.wait(), -9)

    def test_an_unknown_argument_is_an_error(self):
        for name in ("flood", "exit_with", "double_fork"):
            result = self.run_program(name, "--wrong")
            self.assertEqual(result.returncode, 64)
            self.assertIn(b"--wrong", result.stderr)


class DoubleFork(ProgramTest):
    def leave(self, *args):
        pids = self.directory / "pids"
        result = self.run_program("double_fork", "--pids", pids, *args)
        return result, [int(line) for line in pids.read_text(encoding="utf-8").split()]

    def test_leaves_processes_that_have_left_their_session_and_hold_no_pipe(self):
        result, pids = self.leave("--count", 3, "--exit", 5)
        self.assertEqual(result.returncode, 5)
        self.assertEqual(len(set(pids)), 3)
        for pid in pids:
            self.assertTrue(muster_test.is_alive(pid))
            self.assertNotEqual(os.getsid(pid), os.getsid(0))

    def test_is_found_by_its_mark_and_nothing_left_fails_because_of_it(self):
        _, pids = self.leave()
        self.assertEqual(sorted(each.pid for each in self.processes()), sorted(pids))
        with self.assertRaisesRegex(AssertionError, f"{pids[0]}"):
            self.assert_nothing_left(within=0.1)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.assert_nothing_left()

    def test_holds_the_pipe_open_when_asked(self):
        pids = self.directory / "pids"
        process = subprocess.Popen(
            [program("double_fork"), "--hold-pipe", "--count", "1", "--pids", str(pids)],
            stdout=subprocess.PIPE, env=self.environment())
        self.addCleanup(process.stdout.close)
        process.wait(10)
        os.set_blocking(process.stdout.fileno(), False)
        self.assertIsNone(process.stdout.read())  # no end of file yet
        os.kill(int(pids.read_text(encoding="utf-8")), signal.SIGKILL)
        wait_until(lambda: process.stdout.read() == b"", what="end of file")


class RankProbe(ProgramTest):
    def test_tells_what_a_rank_sees(self):
        result = self.run_program("rank_probe", "an \"argument\"", env={"RANK": 2, "NAME": "a=\tb"})
        seen = json.loads(result.stdout)
        self.assertEqual(seen["rank"], 2)
        self.assertEqual(seen["argv"][1:], ["an \"argument\""])
        self.assertEqual(seen["environment"]["NAME"], "a=\tb")
        self.assertEqual(set(seen["affinity"]), os.sched_getaffinity(0))
        self.assertEqual(seen["cwd"], str(self.work_dir))
        self.assertEqual(seen["ppid"], os.getpid())
        self.assertEqual(sorted(seen["fds"]), ["0", "1", "2"])
        self.assertIn("nofile", seen["limits"])

    def test_writes_to_a_file_for_each_rank(self):
        self.run_program("rank_probe", "--to", self.directory / "probe-%r", env={"RANK": 7})
        seen = json.loads((self.directory / "probe-7").read_text(encoding="utf-8"))
        self.assertEqual(seen["rank"], 7)


@muster_test.needs_mpirun
class MpiPrograms(ProgramTest):
    """Under bare mpirun, as a check of the programs, not of mpirun."""

    def mpirun(self, ranks, name, *args):
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        return subprocess.run(
            [muster_test.MPIRUN, *root, "--oversubscribe", "--mca", "odls_base_num_threads", "0",
             "-np", str(ranks), program(name), *map(str, args)],
            env=self.environment(), cwd=self.work_dir, capture_output=True, timeout=60, check=False)

    def test_hello_forms_one_world(self):
        result = self.mpirun(2, "mpi_hello")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(sorted(result.stdout.splitlines()),
                         [b"rank 0 of 2 sum 3", b"rank 1 of 2 sum 3"])

    def test_abort_ends_with_its_code(self):
        self.assertEqual(self.mpirun(2, "mpi_abort", 3).returncode, 3)

    def test_no_finalize_is_what_mpirun_complains_about(self):
        self.assertNotEqual(self.mpirun(2, "mpi_no_finalize").returncode, 0)

    def test_early_exit_lets_the_others_go_on(self):
        result = self.mpirun(2, "mpi_early_exit")
        self.assertEqual((result.returncode, result.stdout), (0, b"rank 1 went on\n"))

    def test_sleep_says_that_it_is_ready(self):
        self.assertEqual(self.mpirun(1, "mpi_sleep", 0).stdout, b"ready\n")

    def test_the_fake_library_is_loaded_by_its_name_and_is_a_world_of_one(self):
        path = program("fake_mpich_hello")
        process = subprocess.Popen([path], stdout=subprocess.PIPE, env=self.environment())
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), b"rank 0 of 1\n")
        with open(f"/proc/{process.pid}/maps", encoding="utf-8") as maps:
            self.assertIn("libmpich.so.12", maps.read())
        self.assertEqual(process.wait(), 0)


if __name__ == "__main__":
    muster_test.main()
