"""Muster as the entrypoint of a container, with podman and runc, in the image of the Containerfile.

`scripts/soak --podman` builds the image and names it in MUSTER_TEST_IMAGE; without that all of this
is skipped, and e2e.containment has the same duties of a PID 1 in a namespace of its own.
"""

import json
import os
import shutil
import subprocess
import time
import unittest

import muster_test
from muster_test import MusterTest, PROGRAMS_DIR, wait_until

IMAGE = os.environ.get("MUSTER_TEST_IMAGE", "")
PODMAN = shutil.which("podman")
# Where the caller's own limits are below podman's defaults, runc cannot raise them.
LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]

# Makes orphans one after another, each with a session of its own.
ORPHANS = """
import os, time
while True:
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            time.sleep(0.01)
        os._exit(0)
    os.wait()
    time.sleep(0.02)
"""

SAVES = """
trap 'mkdir -p outputs; echo "saved by $RANK" > outputs/model-$RANK; exit 0' TERM
touch "up-$RANK"
while :; do sleep 0.02; done
"""


@unittest.skipUnless(PODMAN, "no podman on PATH")
@unittest.skipUnless(IMAGE, "MUSTER_TEST_IMAGE names no image; scripts/soak --podman builds one")
class Podman(MusterTest):
    def setUp(self):
        super().setUp()
        self.name = f"muster-test-{self.mark}"
        self.addCleanup(self.podman, "rm", "--force", "--ignore", self.name)

    def podman(self, *words, timeout=120):
        return subprocess.run([PODMAN, "--runtime", "runc", *map(str, words)], timeout=timeout,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)

    def start(self, *args, options=()):
        """The container begins and goes on by itself."""
        begun = self.podman("run", "--detach", "--name", self.name, "--network", "none", *LIMITS,
                            "--volume", f"{self.work_dir}:/work",
                            "--volume", f"{PROGRAMS_DIR}:/programs:ro", *options, IMAGE, *args)
        self.assertEqual(begun.returncode, 0, begun.stderr)

    def end(self):
        """The container's exit code and what it said, once it has ended."""
        code = self.podman("wait", self.name).stdout.strip()
        logs = self.podman("logs", self.name)
        self.podman("rm", self.name)
        return int(code), logs.stdout + logs.stderr

    def run_to_end(self, *args, options=()):
        self.start(*args, options=options)
        return self.end()

    def record(self):
        [run] = (self.work_dir / "runs").iterdir()
        return run, json.loads((run / "run.json").read_text(encoding="utf-8"))

    def forget_runs(self):
        shutil.rmtree(self.work_dir / "runs", ignore_errors=True)

    def wait_for_ranks(self, count=2):
        wait_until(lambda: len(list(self.work_dir.glob("up-*"))) == count, 60, "all ranks")

    def test_the_exit_code_comes_out_of_the_container(self):
        for script, code in (("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137),
                             ("kill -15 $$", 143), ("exec /nowhere", 127)):
            for backend in ("direct", "mpi"):
                with self.subTest(script=script, backend=backend):
                    ended, said = self.run_to_end("run", "-n", 2, "--backend", backend, "--", "sh",
                                                  "-c", script)
                    self.assertEqual(ended, code, said)
                    run, record = self.record()
                    self.assertEqual((record["launcher_pid"], record["exit_code"]), (1, code))
                    self.forget_runs()

    def test_a_config_file_is_run_too(self):
        (self.work_dir / "run.yaml").write_text(
            "command: echo from a config\nprocess_count_per_node: 2\ndistributed_backend: direct\n",
            encoding="utf-8")
        code, said = self.run_to_end("run", "run.yaml")
        self.assertEqual(code, 0, said)
        self.assertIn("from a config", said)

    def test_stop_ends_it_within_its_time_with_outputs_complete(self):
        for backend in ("direct", "mpi"):
            with self.subTest(backend):
                self.start("run", "-n", 2, "--backend", backend, "--", "sh", "-c", SAVES)
                self.wait_for_ranks()
                self.podman("stop", self.name)
                code, said = self.end()  # 137 when podman had to kill it after its 10 s
                self.assertEqual(code, 143, said)
                run, record = self.record()
                self.assertEqual(record["status"], "cancelled")
                for rank in range(2):
                    self.assertEqual((run / f"outputs/model-{rank}").read_text(encoding="utf-8"),
                                     f"saved by {rank}\n")
                    (self.work_dir / f"up-{rank}").unlink()
                self.forget_runs()
                shutil.rmtree(self.work_dir / "outputs")

    def test_ranks_that_ignore_the_stop_are_over_before_podman_loses_patience(self):
        # The default grace is 30 s; as PID 1 the budget of a stop is what podman and docker give.
        self.start("run", "-n", 2, "--", "sh", "-c",
                   'trap "" TERM; mkdir -p outputs; echo half > outputs/model-$RANK; '
                   'touch up-$RANK; while :; do sleep 0.1; done')
        self.wait_for_ranks()
        self.podman("stop", self.name)
        code, said = self.end()
        self.assertEqual(code, 143, said)
        run, record = self.record()
        self.assertEqual(record["status"], "cancelled")
        for rank in range(2):
            self.assertEqual((run / f"outputs/model-{rank}").read_text(encoding="utf-8"), "half\n")

    def test_a_stop_at_any_moment_of_the_start_is_not_lost(self):
        for number in range(max(4, muster_test.ROUNDS)):
            with self.subTest(round=number):
                self.start("run", "-n", 2, "--", "sleep", 600)
                time.sleep(0.03 * number)
                began = time.monotonic()
                self.podman("stop", "--time", 60, self.name)
                self.assertLess(time.monotonic() - began, 50)
                code, said = self.end()
                self.assertEqual(code, 143, said)

    def test_orphans_are_reaped_while_the_run_goes_on(self):
        self.start("run", "-n", 2, "--", "python3", "-c", ORPHANS)
        zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null; true"
        for _ in range(10):
            # A child that `podman exec` leaves behind is PID 1's to reap.
            self.podman("exec", self.name, "sh", "-c", "sleep 0.02 & exec true")
        seen = set(self.podman("exec", self.name, "sh", "-c", zombies).stdout.split())
        wait_until(lambda: not seen & set(self.podman("exec", self.name, "sh", "-c",
                                                      zombies).stdout.split()), 30, "the reaping")
        self.podman("stop", "--time", 60, self.name)
        code, said = self.end()
        self.assertEqual(code, 143, said)

    def test_a_read_only_root_without_capabilities_or_a_known_user(self):
        self.work_dir.chmod(0o777)
        code, said = self.run_to_end(
            "run", "-n", 2, "--backend", "mpi", "--", "/programs/mpi_exchange",
            options=["--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges",
                     "--user", "54321:54321"])
        self.assertEqual(code, 0, said)

    def test_mpi_with_little_shared_memory(self):
        for size, told in (("64k", True), ("64m", False)):
            with self.subTest(size):
                code, said = self.run_to_end("run", "-n", 2, "--backend", "mpi", "--",
                                             "/programs/mpi_exchange",
                                             options=["--shm-size", size])
                self.assertEqual(code, 0, said)
                self.assertEqual("and Open MPI shares" in said, told, said)

    def test_too_few_processes_are_told(self):
        code, said = self.run_to_end("run", "-n", 8, "--backend", "direct", "--", "sleep", 600,
                                     options=["--pids-limit", "12"])
        self.assertIn(code, (69, 126), said)
        self.assertIn("at most 12 processes and threads in this cgroup (pids.max)", said)
        self.assertIn("--pids-limit", said)


if __name__ == "__main__":
    muster_test.main()
