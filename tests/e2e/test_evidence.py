"""Why a rank died is named right: killed for memory, a sibling killed for memory, kill -9, a crash,
an exception.

The memory tests make memory cgroups (version 1 or 2) and remove them; they skip where that is not
possible.  Each runs MUSTER_ROUNDS rounds.
"""

import os
import shutil
import signal
import subprocess
import textwrap
import time
import unittest
import uuid
from pathlib import Path

import muster_test
from muster_test import PYTHON, ROUNDS, program

# Far above what Muster itself uses: the kernel kills the largest process.
LIMIT = "96M"
SWAP_OF = {1: "memory.memsw.limit_in_bytes", 2: "memory.swap.max"}
# Without CAP_SYSLOG the kernel's log is closed, as it is in most containers.
NO_KERNEL_LOG = ("setpriv", "--bounding-set=-syslog", "--inh-caps=-syslog")


def can_read_kernel_log():
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
        return True
    except OSError:
        return False


def own_memory_cgroup():
    """(version, directory) of this process's; SkipTest when there is none."""
    groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            top = Path("/sys/fs/cgroup/memory")
            own = top / path.lstrip("/")
            return 1, own if own.is_dir() else top
    top = Path("/sys/fs/cgroup")
    if "memory" in (top / "cgroup.controllers").read_text(encoding="utf-8").split():
        return 2, top
    raise unittest.SkipTest("no memory cgroup to be seen")


class EvidenceTest(muster_test.MusterTest):
    def run_ranks(self, *command, ranks=2, prefix=(), **options):
        return self.run_muster(["run", "-n", ranks, "--backend", "direct", "--", *command],
                               prefix=prefix, **options)

    def assert_first(self, result, rank, how, value, code, cause):
        self.assert_code(result, code)
        first = result.run_json["first_failure"]
        self.assertEqual((first["rank"], first["how"], first["value"], first["origin"]),
                         (rank, how, value, "training"), f"\n{result}")
        self.assertEqual(first["cause"], cause, f"\n{result}\n{self.evidence(result, rank)}")

    def evidence(self, result, rank):
        return result.run_json["attempts"][-1]["ranks"][rank]["evidence"]

    def kinds(self, result, rank):
        return [each["kind"] for each in self.evidence(result, rank)]


@muster_test.needs_root
class Memory(EvidenceTest):
    def setUp(self):
        super().setUp()
        version, parent = own_memory_cgroup()
        self.limit_file = "memory.limit_in_bytes" if version == 1 else "memory.max"
        self.cgroup = parent / f"muster-test-{uuid.uuid4().hex[:12]}"
        try:
            self.cgroup.mkdir()
            self.addCleanup(self.remove_cgroups)
            (self.cgroup / self.limit_file).write_text(LIMIT, encoding="utf-8")
            swap = self.cgroup / SWAP_OF[version]
            if swap.exists():
                swap.write_text(LIMIT if version == 1 else "0", encoding="utf-8")
        except OSError as error:
            raise unittest.SkipTest(f"no memory cgroup can be made: {error}") from None

    def remove_cgroups(self):
        deadline = time.monotonic() + 10
        for directory, _, _ in os.walk(self.cgroup, topdown=False):
            while True:
                try:
                    os.rmdir(directory)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)

    def inside(self):
        """Puts what follows into the cgroup, with all that it starts."""
        return ("sh", "-c", 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"', "inside",
                self.cgroup)

    def closed_log(self):
        if not shutil.which("setpriv"):
            self.skipTest("no setpriv")
        return NO_KERNEL_LOG

    def assert_killed_for_memory(self, result, rank, words):
        self.assert_first(result, rank, "signaled", signal.SIGKILL, 137, "oom")
        self.assertEqual(self.kinds(result, rank), ["oom_kill"])
        self.assertRegex(result.stderr,
                         rf"rank {rank} on \S+ failed first, after [^:]+: killed for memory "
                         r"\(SIGKILL\)\n  " + words)
        self.assertIn("the other rank was ended because of it: 1 by SIGTERM", result.stderr)
        self.assertEqual(self.kinds(result, 1 - rank), [])

    @unittest.skipUnless(can_read_kernel_log(), "the kernel's log cannot be read")
    def test_a_rank_of_a_shared_cgroup_is_named_by_the_kernels_log(self):
        for number in range(ROUNDS):
            rank = number % 2
            result = self.run_ranks(program("eats_memory"), "--rank", rank, prefix=self.inside())
            # Of more than ten kills in five seconds the kernel leaves out whose limit it was.
            self.assert_killed_for_memory(
                result, rank, r"the kernel's OOM killer ended process \d+ \(eats_memory\): (its )?"
                rf"memory cgroup \S*{self.cgroup.name} was (at its limit of|out of memory, limit) "
                r"96\.0 MiB")

    def test_a_rank_in_a_cgroup_of_its_own_is_known_by_its_count(self):
        for number in range(ROUNDS):
            rank = number % 2
            own = self.cgroup / f"rank-{number}"
            own.mkdir()
            result = self.run_ranks(program("eats_memory"), "--rank", rank, "--cgroup", own,
                                    prefix=self.closed_log())
            self.assert_killed_for_memory(
                result, rank, rf"its memory cgroup \S*/rank-{number} counted 1 OOM kill while it "
                r"ran, limit 96\.0 MiB \(of \S+\), peak 96\.0 MiB, and nothing but this rank")

    def test_without_the_log_a_shared_cgroup_makes_it_likely(self):
        for number in range(ROUNDS):
            rank = number % 2
            result = self.run_ranks(program("eats_memory"), "--rank", rank,
                                    prefix=(*self.inside(), *self.closed_log()))
            self.assert_first(result, rank, "signaled", signal.SIGKILL, 137, "oom_likely")
            self.assertIn("killed by SIGKILL (signal 9), most likely for memory", result.stderr)
            self.assertIn("counted 1 OOM kill while it ran, limit 96.0 MiB, peak", result.stderr)

    def test_a_sibling_that_is_killed_for_memory_is_not_the_rank_that_kill_9_ended(self):
        # Its worker is killed for memory; then the rank is killed by a signal from outside.
        for number in range(ROUNDS):
            rank = number % 2
            result = self.run_ranks(program("eats_memory"), "--rank", rank, "--worker", "--kill",
                                    prefix=self.inside())
            if can_read_kernel_log():
                self.assert_first(result, rank, "signaled", signal.SIGKILL, 137,
                                  "killed_from_outside")
                self.assertEqual(self.kinds(result, rank),
                                 ["killed_from_outside", "oom_kill_of_other"])
            self.assertNotIn("killed for memory (SIGKILL)", result.stderr)

    def test_without_the_log_a_kill_9_long_after_a_siblings_kill_is_not_called_likely(self):
        script = '"$0" --worker; sleep 6; kill -9 $$'
        result = self.run_ranks("sh", "-c", script, program("eats_memory"), ranks=1,
                                prefix=(*self.inside(), *self.closed_log()))
        self.assert_first(result, 0, "signaled", signal.SIGKILL, 137, None)
        self.assertEqual(self.kinds(result, 0), ["oom_unknown"])
        self.assertNotIn("most likely for memory", result.stderr)
        self.assertRegex(result.stderr, "counted 1 OOM kill while it ran, .*but none in its last ")

    def test_a_worker_that_is_killed_for_memory_explains_its_ranks_exit(self):
        for number in range(ROUNDS):
            rank = number % 2
            result = self.run_ranks(program("eats_memory"), "--rank", rank, "--worker",
                                    prefix=self.inside())
            if can_read_kernel_log():
                self.assert_first(result, rank, "exited", 1, 1, "oom_of_child")
                self.assertRegex(result.stderr, r"process \d+ \(eats_memory\) was killed for "
                                 "memory, which its last lines name")
            self.assertEqual(self.kinds(result, rank), ["oom_kill_of_other"])

    def test_a_kill_9_in_a_cgroup_that_was_at_its_limit_before_is_a_kill_9(self):
        self.run_muster(["run", "--", program("eats_memory")], prefix=self.inside())
        for _ in range(ROUNDS):
            result = self.run_ranks(program("exit_with"), "--signal", 9, ranks=1,
                                    prefix=self.inside())
            self.assert_first(result, 0, "signaled", signal.SIGKILL, 137, "killed_from_outside")
            self.assertIn("failed after", result.stderr)
            self.assertRegex(result.stderr, "it was not killed for memory: its memory cgroup "
                             rf"\S*{self.cgroup.name} counted no OOM kill while it ran")


class Exceptions(EvidenceTest):
    SCRIPT = textwrap.dedent("""
        import os, time
        if os.environ["RANK"] != os.environ["FAILS"]:
            time.sleep(600)
        raise ValueError("loss is nan at step 1200")
        """)

    def error(self, result, rank):
        return result.run_json["attempts"][-1]["ranks"][rank]["error"]

    def test_a_pythons_exception_is_in_the_headline(self):
        for number in range(ROUNDS):
            rank = number % 2
            result = self.run_ranks(PYTHON, "-c", self.SCRIPT, env={"FAILS": rank})
            self.assert_first(result, rank, "exited", 1, 1, None)
            self.assertRegex(result.stderr, rf"rank {rank} on \S+ failed first, after [^:]+: exited "
                             r"with 1 \(ValueError: loss is nan at step 1200\)\n")
            self.assertEqual(self.error(result, rank),
                             {"message": "ValueError: loss is nan at step 1200", "timestamp": None,
                              "source": "stderr"})
            self.assertIsNone(self.error(result, 1 - rank))

    def test_an_error_file_is_read(self):
        script = textwrap.dedent("""
            import json, os
            error = {"message": "RuntimeError: NCCL timeout\\nmore",
                     "extraInfo": {"py_callstack": "…", "timestamp": "1700000000"}}
            with open(os.environ["TORCHELASTIC_ERROR_FILE"], "w") as file:
                json.dump({"message": error}, file)
            raise SystemExit(3)
            """)
        result = self.run_ranks(PYTHON, "-c", script, ranks=1)
        self.assert_first(result, 0, "exited", 3, 3, None)
        self.assertIn("exited with 3 (RuntimeError: NCCL timeout)\n", result.stderr)
        self.assertEqual(self.error(result, 0),
                         {"message": "RuntimeError: NCCL timeout\nmore",
                          "timestamp": "2023-11-14T22:13:20.000000Z", "source": "error_file"})

    def test_an_error_file_of_any_content_does_no_harm(self):
        for content in ("head -c 9000000 /dev/zero", "printf '{'", "printf '{\"message\": 7}'"):
            with self.subTest(content=content):
                result = self.run_ranks("sh", "-c",
                                        f'{content} > "$TORCHELASTIC_ERROR_FILE"; exit 3', ranks=1)
                self.assert_first(result, 0, "exited", 3, 3, None)
                self.assertIsNone(self.error(result, 0))

    def test_torchs_record_writes_it(self):
        find = "import sys, importlib.util as util; sys.exit(util.find_spec('torch') is None)"
        if subprocess.run([PYTHON, "-c", find], check=False).returncode != 0:
            self.skipTest(f"{PYTHON} has no torch")
        script = self.work_dir / "train.py"
        script.write_text(textwrap.dedent("""
            from torch.distributed.elastic.multiprocessing.errors import record
            @record
            def main():
                raise ValueError("no digits in data.csv")
            main()
            """), encoding="utf-8")
        result = self.run_ranks(PYTHON, script, ranks=1)
        self.assert_first(result, 0, "exited", 1, 1, None)
        self.assertIn("exited with 1 (ValueError: no digits in data.csv)\n", result.stderr)
        self.assertEqual(self.error(result, 0)["source"], "error_file")
        self.assertIsNotNone(self.error(result, 0)["timestamp"])


class Programs(EvidenceTest):
    """Programs that cannot run are named as what they are."""

    def run_file(self, content, name="train.py"):
        path = self.work_dir / name
        path.write_bytes(content)
        path.chmod(0o755)
        return self.run_ranks(path, ranks=1)

    def assert_not_started(self, result, code, words, hint):
        self.assert_first(result, 0, "exec_failed", code, code, "exec_format")
        self.assertRegex(result.stderr, rf"rank 0 on \S+ could not start its program: executing "
                         rf"\S+: {words}")
        self.assertIn(f"hint: {hint}", result.stderr)
        self.assertEqual(self.kinds(result, 0), ["exec_format"])
        self.assertEqual(result.stderr.count(self.evidence(result, 0)[0]["text"]), 1,
                         f"not in the headline and again\n{result}")

    def test_a_program_of_another_machine(self):
        own = os.uname().machine
        other, number = ("x86_64", 62) if own == "aarch64" else ("aarch64", 183)
        header = bytearray(Path(program("exit_with")).read_bytes()[:4096])
        header[18:20] = number.to_bytes(2, "little")
        self.assert_not_started(self.run_file(bytes(header)), 126,
                                rf"it is a program for {other}, and this node is {own}",
                                f"build it for {own}")

    def test_an_empty_file(self):
        self.assert_not_started(self.run_file(b""), 126, "it is an empty file",
                                "see whether it was copied completely")

    def test_windows_line_ends(self):
        self.assert_not_started(self.run_file(b"#!/usr/bin/python3\r\nimport os\r\n"), 127,
                                "its first line ends in a carriage return",
                                r"take them out: sed -i 's/\r$//' train.py")

    def test_windows_line_ends_behind_env(self):
        result = self.run_file(b"#!/usr/bin/env python3\r\nimport os\r\n")
        self.assert_first(result, 0, "exited", 127, 127, "exec_format")
        self.assertIn("  its first line ends in a carriage return (Windows line ends)",
                      result.stderr)

    def test_an_interpreter_that_is_not_there(self):
        self.assert_not_started(self.run_file(b"#!/opt/none/python3\nimport os\n"), 127,
                                "the interpreter that its first line names, /opt/none/python3, was "
                                "not found", "name one that is on this node")

    def test_a_script_without_a_first_line(self):
        result = self.run_file(b"import os\nfrom sys import (argv)\n")
        self.assertEqual(self.kinds(result, 0), ["exec_format"], f"\n{result}")
        self.assertIn("  train.py has no first line with #!, so sh ran it\n", result.stderr)
        self.assertIn("hint: give it to its interpreter (python3 train.py)", result.stderr)

    def test_a_missing_shared_library(self):
        # Its library is found beside it by an absolute path; this copy looks elsewhere.
        beside = os.fsencode(str(muster_test.PROGRAMS_DIR))
        content = Path(program("fake_mpich_hello")).read_bytes()
        self.assertIn(beside, content)
        result = self.run_file(content.replace(beside, b"/" + b"x" * (len(beside) - 1)), "hello")
        self.assert_first(result, 0, "exited", 127, 127, "missing_library")
        self.assertIn("  the shared library libmpich.so.12 could not be loaded: No such file or "
                      "directory\n", result.stderr)
        self.assertIn("hint: install it in the environment", result.stderr)

    def test_a_core_dump_is_found(self):
        pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8").strip()
        result = self.run_ranks("sh", "-c", "ulimit -c unlimited || exit 64; kill -SEGV $$",
                                ranks=1)
        if result.code == 64:
            self.skipTest("the hard limit of core files is 0")
        self.assert_code(result, 139)
        if not result.run_json["attempts"][-1]["ranks"][0]["core_dumped"]:
            self.skipTest("the kernel wrote no core")
        self.assertEqual(self.kinds(result, 0), ["core_dump"])
        text = self.evidence(result, 0)[0]["text"]
        if pattern.startswith("|"):
            self.assertIn("has taken", text)
        elif "/" not in pattern:
            found = [path for path in self.work_dir.iterdir() if "core" in path.name]
            self.assertEqual(len(found), 1)
            self.assertIn(f"it dumped core: {found[0]} (", text)
        self.assertIn(text, result.stderr)


@muster_test.needs_root
class FullDisks(EvidenceTest):
    """In a mount namespace with small file systems."""

    SMALL = 'mount -t tmpfs -o size=1m,nr_inodes=20 none "$1" && shift && exec "$@"'

    def run_with_small(self, directory, *command, env=None):
        mounts = ("unshare", "--mount", "sh", "-c", self.SMALL, "small", directory)
        if subprocess.run([*mounts, "true"], check=False, capture_output=True).returncode != 0:
            self.skipTest("no tmpfs can be mounted in a mount namespace")
        return self.run_ranks(*command, ranks=1, prefix=mounts, env=env)

    def test_a_full_disk(self):
        full = self.directory / "full"
        full.mkdir()
        result = self.run_with_small(full, "sh", "-c",
                                     f"cd {full}; export TMPDIR=.; cat /dev/zero > zeros")
        self.assert_first(result, 0, "exited", 1, 1, "no_space")
        self.assertRegex(result.stderr, "  a write failed because a disk was full: cat: .*"
                         "No space left on device")
        self.assertIn("hint: make room there", result.stderr)

    def test_a_full_place_for_temporary_files(self):
        full = self.directory / "full"
        full.mkdir()
        result = self.run_with_small(full, "sh", "-c",
                                     'cat /dev/zero > "$TMPDIR/zeros" 2> /dev/null; exit 4',
                                     env={"TMPDIR": full})
        # A fact beside the failure: the rank did not say that it failed because of it.
        self.assert_first(result, 0, "exited", 4, 4, None)
        self.assertEqual(self.kinds(result, 0), ["no_space"])
        self.assertIn(f"  the file system of {full} has no room left (1.0 MiB, all used)\n",
                      result.stderr)

    def test_no_inodes_where_the_rank_works(self):
        result = self.run_with_small(
            self.work_dir, "sh", "-c",
            'cd "$PWD"; i=0; while touch "$i" 2> /dev/null; do i=$((i+1)); done; exit 4')
        self.assert_first(result, 0, "exited", 4, 4, None)
        self.assertIn(f"  the file system of {self.work_dir} has no inodes left (20, all used)\n",
                      result.stderr)

    def test_a_full_shared_memory_ends_in_sigbus(self):
        script = textwrap.dedent("""
            import mmap
            with open("/dev/shm/muster-test-big", "w+b") as file:
                file.truncate(4 << 20)
                view = mmap.mmap(file.fileno(), 4 << 20)
                for at in range(0, 4 << 20, 4096):
                    view[at] = 1
            """)
        result = self.run_with_small("/dev/shm", PYTHON, "-c", script)
        self.assert_first(result, 0, "signaled", signal.SIGBUS, 135, "shm_full")
        self.assertIn("  /dev/shm has no room left (1.0 MiB, all used)\n", result.stderr)
        self.assertIn("--shm-size", result.stderr)


class Signals(EvidenceTest):
    def test_a_kill_9_is_not_taken_for_a_kill_for_memory(self):
        for number in range(ROUNDS):
            rank = number % 2
            result = self.run_ranks("sh", "-c", '[ "$RANK" = "$0" ] && kill -9 $$; sleep 600',
                                    rank)
            self.assert_first(result, rank, "signaled", signal.SIGKILL, 137, "killed_from_outside")
            self.assertRegex(result.stderr, r"failed first, after [^:]+: killed by SIGKILL "
                             r"\(signal 9\)\n  it was not killed for memory: ")

    def test_crashes_are_named_by_their_signal(self):
        for number in range(ROUNDS):
            rank = number % 2
            for signum in (signal.SIGSEGV, signal.SIGABRT):
                result = self.run_ranks(
                    "sh", "-c", '[ "$RANK" = "$0" ] || sleep 600; exec "$@"', rank,
                    program("exit_with"), "--signal", int(signum))
                self.assert_first(result, rank, "signaled", signum, 128 + signum, None)
                self.assertEqual(self.evidence(result, rank), [])


if __name__ == "__main__":
    muster_test.main()
