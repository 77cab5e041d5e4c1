"""Muster in containers and strict sandboxes: seccomp profiles that deny what is modern, small or
missing shared memory, no capabilities, no /proc or /sys, few processes, no home, no TMPDIR.

A few runs under each seccomp row here; `scripts/soak --seccomp` runs all end-to-end tests so.
"""

import os
import signal
import subprocess
import unittest

import muster_test
from muster_test import (MPIRUN, MusterTest, PYTHON, needs_mpirun, needs_root, program, wait_until)

BACKENDS = ["direct"] + (["mpi"] if MPIRUN else [])
ERRORS = ("EPERM", "ENOSYS")
NOBODY_ELSE = 54321  # a user without a passwd entry


def shell(script):
    """A prefix for start_muster: the shell does `script` and then becomes muster."""
    return ["sh", "-c", f'{script}\nexec "$@"', "sh"]


def can_unshare(*options):
    return subprocess.run(["unshare", *options, "true"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


needs_mounts = unittest.skipUnless(can_unshare("--mount"), "no mount namespace can be made here")


class SandboxTest(MusterTest):
    def run_ranks(self, *command, backend="direct", ranks=2, options=(), **keywords):
        return self.run_muster(["run", "-n", ranks, "--backend", backend, *options, "--", *command],
                               **keywords)

    def assert_exchanged(self, result, ranks=2):
        """What mpi_exchange says when every rank got every byte, and nobody else said anything."""
        self.assert_code(result, 0)
        for rank in range(ranks):
            self.assertEqual(result.rank_bytes(rank).decode(),
                             f"rank {rank} of {ranks} got {8 << 20} bytes, 0 wrong\n")
            self.assertEqual(result.rank_bytes(rank, "stderr.log"), b"")
        self.assertEqual((result.run_directory / "mpirun.log").read_bytes(), b"")
        self.assert_nothing_left()

    def as_other_user(self):
        """A prefix, after which the test's directories are that user's."""
        self.directory.chmod(0o755)
        for path in (self.directory, self.runtime_dir, self.work_dir):
            os.chown(path, NOBODY_ELSE, NOBODY_ELSE)
        prefix = ["setpriv", f"--reuid={NOBODY_ELSE}", f"--regid={NOBODY_ELSE}", "--clear-groups"]
        if subprocess.run([*prefix, "test", "-x", muster_test.MUSTER], check=False).returncode:
            self.skipTest(f"another user cannot reach {muster_test.MUSTER}")
        return prefix


class Seccomp(SandboxTest):
    def all_calls(self):
        done = subprocess.run([program("under_seccomp"), "--list"], check=True,
                              stdout=subprocess.PIPE, text=True)
        return ",".join(done.stdout.split())

    def sandbox(self, error, calls=None):
        tool = [program("under_seccomp"), "--errno", error, calls or self.all_calls(), "--"]
        probe = subprocess.run([*tool, "true"], stderr=subprocess.PIPE, text=True, check=False)
        if probe.returncode != 0:
            self.skipTest(probe.stderr.strip())
        return tool

    def rows(self):
        for error in ERRORS:
            for backend in BACKENDS:
                with self.subTest(error=error, backend=backend):
                    yield self.sandbox(error), backend

    def test_exit_codes_are_true(self):
        for sandbox, backend in self.rows():
            for options, code in (([0], 0), ([7], 7), (["--signal", 9], 137)):
                result = self.run_ranks(program("exit_with"), *options, backend=backend,
                                        prefix=sandbox)
                self.assert_code(result, code)
                self.assertEqual(result.run_json["warnings"], [])
                self.assert_nothing_left()
                self.assert_runtime_empty()

    def test_nothing_survives_a_rank_that_is_killed(self):
        for sandbox, backend in self.rows():
            result = self.run_ranks(
                "sh", "-c", '[ $RANK = 0 ] && { sleep 0.3; kill -9 $$; }; exec "$0" --count 2 '
                "--ignore-term --hold-pipe --stay 600", program("double_fork"), backend=backend,
                options=["--set", "limits.failure_grace_period=200ms"], prefix=sandbox)
            self.assert_code(result, 137)
            self.assertEqual(result.run_json["first_failure"]["rank"], 0)
            self.assert_nothing_left()
            self.assert_runtime_empty()

    def test_a_killed_launcher_takes_all_with_it(self):
        for sandbox, backend in self.rows():
            running = self.start_muster(
                ["run", "-n", "2", "--backend", backend, "--", "sh", "-c",
                 f'touch up-$RANK; exec "{program("double_fork")}" --count 2 --stay 600'],
                prefix=sandbox)
            up = [self.work_dir / f"up-{rank}" for rank in range(2)]
            wait_until(lambda: all(path.exists() for path in up), 30, "both ranks")
            running.send(signal.SIGKILL)
            self.assert_nothing_left(within=10)
            for path in up:
                path.unlink()

    def test_sigterm_stops_orderly(self):
        for sandbox, backend in self.rows():
            running = self.start_muster(
                ["run", "-n", "2", "--backend", backend, "--", "sh", "-c",
                 'trap "echo saved; exit 0" TERM; touch "up-$RANK"; while :; do sleep 0.02; done'],
                prefix=sandbox)
            up = [self.work_dir / f"up-{rank}" for rank in range(2)]
            wait_until(lambda: all(path.exists() for path in up), 30, "both ranks")
            running.send(signal.SIGTERM)
            result = running.wait()
            self.assert_code(result, 143)
            for rank in range(2):
                self.assertEqual(result.rank_bytes(rank), b"saved\n")
            self.assert_nothing_left()
            for path in up:
                path.unlink()

    # glibc takes EPERM from clone3 for the answer, and ENOSYS for "use clone".
    def test_ranks_can_start_threads_and_look_at_files(self):
        script = ("import os, subprocess, threading\n"
                  "thread = threading.Thread(target=print, args=('thread',), daemon=False)\n"
                  "thread.start(); thread.join()\n"
                  "print(os.access('/', os.X_OK, effective_ids=True))\n"
                  "print(subprocess.check_output(['sh', '-c', 'test -x / && echo shell'],"
                  " text=True), end='')\n")
        for sandbox, backend in self.rows():
            result = self.run_ranks(PYTHON, "-c", script, backend=backend, prefix=sandbox)
            self.assert_code(result, 0)
            self.assertEqual(result.rank_bytes(1), b"thread\nTrue\nshell\n")

    @needs_root
    def test_without_privileges_too(self):
        result = self.run_ranks("true", prefix=[*self.as_other_user(), *self.sandbox("EPERM")])
        self.assert_code(result, 0)

        logs = "".join(path.read_text(encoding="utf-8")
                       for path in (result.run_directory / "launcher").iterdir())
        if muster_test.SANDBOX:
            return  # the youngest filter is the one that answers
        self.assertIn("the sandbox denies clone3, faccessat2, statx: this run gets ENOSYS", logs)

    @needs_mpirun
    def test_mpi_messages_need_no_process_vm_readv(self):
        for error in ERRORS:
            with self.subTest(error):
                calls = "process_vm_readv,process_vm_writev"
                self.assert_exchanged(self.run_ranks(program("mpi_exchange"), backend="mpi",
                                                     prefix=self.sandbox(error, calls)))


def shm_of(size, temporary_size=None):
    """A prefix: /dev/shm has that size, and what lies below $TEMPORARY perhaps, too."""
    script = f"mount -t tmpfs -o size={size} none /dev/shm || exit 99"
    if temporary_size:
        script += f'\nmount -t tmpfs -o size={temporary_size} none "$MUSTER_RUNTIME_DIR" || exit 99'
    return ["unshare", "--mount", *shell(script)]


@needs_mpirun
@needs_mounts
class SharedMemory(SandboxTest):
    def exchange(self, **keywords):
        return self.run_ranks(program("mpi_exchange"), backend="mpi", **keywords)

    def assert_moved(self, result, size):
        self.assert_exchanged(result)
        [warning] = result.run_json["warnings"]
        self.assertIn(f"/dev/shm has {size} free, and Open MPI shares 8.1 MiB between 2 ranks: it "
                      f"lies in {self.runtime_dir} instead", warning)
        self.assertIn("--shm-size", warning)
        self.assertIn(f"muster: warning: {warning}", result.stderr)
        self.assert_runtime_empty()

    def test_64_kib_are_told_and_done_without(self):
        self.assert_moved(self.exchange(prefix=shm_of("64k")), "64.0 KiB")

    def test_what_is_enough_for_one_rank_is_not_for_two(self):
        self.assert_moved(self.exchange(prefix=shm_of("5m")), "5.0 MiB")

    def test_what_containers_have_by_default_is_enough_for_a_few_ranks(self):
        result = self.exchange(prefix=shm_of("64m"))
        self.assert_exchanged(result)
        self.assertEqual(result.run_json["warnings"], [])

    def test_without_room_anywhere_messages_go_over_tcp(self):
        result = self.exchange(prefix=shm_of("64k", temporary_size="1m"))
        self.assert_exchanged(result)
        [warning] = result.run_json["warnings"]
        self.assertIn("has no room either, so messages go over TCP", warning)

    def test_without_dev_shm(self):
        # Nothing in /dev but what every container has.
        dev = self.directory / "dev"
        dev.mkdir()
        script = f"""
          for name in null zero full random urandom tty; do
            : > '{dev}'/$name; mount --bind /dev/$name '{dev}'/$name || exit 99
          done
          mount --rbind '{dev}' /dev && ! [ -e /dev/shm ] || exit 99"""
        result = self.exchange(prefix=["unshare", "--mount", *shell(script)])
        self.assert_exchanged(result)
        self.assertEqual(result.run_json["warnings"], [])
        self.assert_runtime_empty()


@needs_root
class Privileges(SandboxTest):
    def assert_runs(self, prefix, says="", **keywords):
        command = "grep -e ^CapEff -e ^NoNewPrivs /proc/self/status | tr -d '\\t\\n'"
        for backend in BACKENDS:
            with self.subTest(backend):
                result = self.run_ranks("sh", "-c", command, backend=backend, prefix=prefix,
                                        **keywords)
                self.assert_code(result, 0)
                for rank in range(2):
                    self.assertIn(says, result.rank_bytes(rank).decode())
                self.assert_nothing_left()
                self.assert_runtime_empty()

    def test_root_without_any_capability(self):
        self.assert_runs(["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
                         "CapEff:0000000000000000")

    def test_no_new_privileges(self):
        self.assert_runs(["setpriv", "--no-new-privs"], "NoNewPrivs:1")

    def test_a_user_without_passwd_entry_home_or_temporary_directory(self):
        prefix = [*self.as_other_user(), "--no-new-privs"]
        for home in (None, "/nonexistent", "/proc"):
            with self.subTest(home=home):
                self.assert_runs(prefix, "CapEff:0000000000000000",
                                 env={"HOME": home, "USER": None, "TMPDIR": "/nonexistent"})

    def test_files_of_a_strict_umask(self):
        self.assert_runs([*self.as_other_user(), *shell("umask 077")])


class Limits(SandboxTest):
    def limited(self, user_processes, limit):
        """A prefix: a user who has that many processes already, and may have `limit`."""
        prefix = self.as_other_user()
        sleepers = subprocess.Popen(
            [*prefix, "sh", "-c", f"for i in $(seq {user_processes - 1}); do sleep 600 & done; "
             "echo; wait"], stdout=subprocess.PIPE, env=self.environment(), start_new_session=True)
        self.addCleanup(self.kill_group, sleepers)
        sleepers.stdout.read(1)
        # RLIMIT_NPROC counts from the next fork on; sh could not set it (dash has no ulimit -u).
        limits = ("import os, resource, sys; "
                  f"resource.setrlimit(resource.RLIMIT_NPROC, ({limit}, {limit})); "
                  "os.execv(sys.argv[1], sys.argv[1:])")
        return [*prefix, PYTHON, "-c", limits]

    def kill_group(self, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()

    @needs_root
    def test_a_full_process_table_is_told_at_every_stage_of_the_start(self):
        # The launcher's thread, agents, training processes, mpirun's threads: whatever is first.
        for backend in BACKENDS:
            for spare in range(1, 5):
                with self.subTest(backend=backend, spare=spare):
                    # No grace is waited for on behalf of a rank that never was.
                    result = self.run_ranks("sleep", "600", backend=backend,
                                            options=["--set", "limits.failure_grace_period=200s"],
                                            prefix=self.limited(30, 30 + spare), timeout=60)
                    self.assertIn(result.code, (69, 75, 126), result)
                    self.assertIn("hint: ", result.stderr)
                    self.assertNotIn("internal", result.stderr)
                    if result.code != 75:  # else mpirun's own words are shown
                        self.assertIn(f"at most {30 + spare} processes and threads of user "
                                      f"{NOBODY_ELSE} (ulimit -u)", result.stderr)
                        self.assertIn("--pids-limit", result.stderr)
                    self.doCleanups()
                    self.assert_nothing_left()

    @needs_root
    def test_a_limit_that_is_too_low_for_all_ranks_is_told_before_the_start(self):
        result = self.run_ranks("true", ranks=8, prefix=self.limited(1, 20))
        self.assert_code(result, 69)
        self.assertIn("the hard limit of 20 processes is too low for 8 ranks", result.stderr)
        self.assertEqual(self.run_directories(), [])

    def test_1024_descriptors_are_enough_for_64_ranks(self):
        result = self.run_ranks("true", ranks=64, prefix=shell("ulimit -n 1024"), timeout=120)
        self.assert_code(result, 0)


@needs_root
class FileSystems(SandboxTest):
    def hidden(self, path):
        """A prefix: that directory is empty."""
        if not can_unshare("--mount"):
            self.skipTest("no mount namespace can be made here")
        return ["unshare", "--mount", *shell(f"mount -t tmpfs -o ro none {path} || exit 99")]

    def test_without_proc_it_says_what_to_mount(self):
        result = self.run_ranks("true", prefix=self.hidden("/proc"))
        self.assert_code(result, 69)
        self.assertIn("no /proc is mounted here", result.stderr)
        self.assertIn("hint: mount it with `mount -t proc proc /proc`", result.stderr)
        self.assertEqual(self.run_directories(), [])

    def test_without_sys_ranks_run(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                result = self.run_ranks("sh", "-c", "exit 3", backend=backend,
                                        prefix=self.hidden("/sys"))
                self.assert_code(result, 3)
                self.assertNotIn("hwloc", result.stderr)
                self.assert_nothing_left()

    def test_children_from_before_the_run_are_reaped_and_not_killed(self):
        # Of the shell that became muster, or of `podman exec` while PID 1 had just begun.
        if not can_unshare("--mount", "--pid", "--fork", "--mount-proc"):
            self.skipTest("no PID namespace can be made here")
        prefix = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child",
                  *shell("sleep 0 & sleep 0.5 & sleep 600 &")]
        zombies = ("[ $RANK = 0 ] || exit 0; sleep 1; grep -l '^State:.Z' /proc/[0-9]*/status; "
                   "grep -c 'Name:.sleep' /proc/[0-9]*/status | grep -c ':1'")
        for backend in BACKENDS:
            with self.subTest(backend):
                result = self.run_ranks("sh", "-c", zombies, backend=backend, prefix=prefix)
                self.assert_code(result, 0)
                self.assertEqual(result.rank_bytes(0), b"1\n")  # the one that still sleeps
                self.assert_nothing_left()

    def test_where_the_processes_of_others_are_hidden(self):
        if not can_unshare("--mount", "--pid", "--fork"):
            self.skipTest("no PID namespace can be made here")
        prefix = ["unshare", "--mount", "--pid", "--fork", "--kill-child",
                  *shell("mount -t proc -o hidepid=2 proc /proc || exit 99"),
                  *self.as_other_user()]
        command = ("sh", "-c", '[ $RANK = 0 ] && { sleep 0.2; exit 3; }; exec "$0" --count 2 '
                   "--stay 600", program("double_fork"))
        for backend in BACKENDS:
            with self.subTest(backend):
                result = self.run_ranks(*command, backend=backend, prefix=prefix)
                self.assert_code(result, 3)
                self.assert_nothing_left()
                self.assert_runtime_empty()


if __name__ == "__main__":
    muster_test.main()
