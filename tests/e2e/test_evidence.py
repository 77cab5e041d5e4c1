"""Why a rank died is named right: killed for memory, a sibling killed for memory, kill -9, a crash,
an exception.

The memory tests make memory cgroups (version 1 or 2) and remove them; they skip where that is not
possible.  Each runs MUSTER_ROUNDS rounds.
"""

import os
import shutil
import signal
import time
import unittest
import uuid
from pathlib import Path

import muster_test
from muster_test import PYTHON, ROUNDS, program

LIMIT = "24M"
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
            self.assert_killed_for_memory(
                result, rank, rf"the kernel's OOM killer ended process \d+ \(eats_memory\): memory "
                rf"cgroup \S*{self.cgroup.name} was at its limit of 24\.0 MiB")

    def test_a_rank_in_a_cgroup_of_its_own_is_known_by_its_count(self):
        for number in range(ROUNDS):
            rank = number % 2
            own = self.cgroup / f"rank-{number}"
            own.mkdir()
            result = self.run_ranks(program("eats_memory"), "--rank", rank, "--cgroup", own,
                                    prefix=self.closed_log())
            self.assert_killed_for_memory(
                result, rank, rf"its memory cgroup \S*/rank-{number} counted 1 OOM kill while it "
                r"ran, limit 24\.0 MiB \(of \S+\), peak 24\.0 MiB, and nothing but this rank")

    def test_without_the_log_a_shared_cgroup_makes_it_likely(self):
        for number in range(ROUNDS):
            rank = number % 2
            result = self.run_ranks(program("eats_memory"), "--rank", rank,
                                    prefix=(*self.inside(), *self.closed_log()))
            self.assert_first(result, rank, "signaled", signal.SIGKILL, 137, "oom_likely")
            self.assertIn("killed by SIGKILL (signal 9), most likely for memory", result.stderr)
            self.assertIn("counted 1 OOM kill while it ran, limit 24.0 MiB, peak", result.stderr)

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
