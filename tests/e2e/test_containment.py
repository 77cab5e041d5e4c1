"""Whoever of a run is killed with signal 9, at whatever moment: nothing of the run is left, and
what was killed is what the report says.

Eight ranks; half of them leave processes behind that have left their session, half of those ignore
SIGTERM.  The moments come from a seed, which is printed: MUSTER_SEED repeats them.  Where a mount
namespace can be made, /dev/shm is a directory of the test, so that every file there is the run's.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

import muster_test
from muster_test import PYTHON, ROUNDS, program, wait_until

RANKS = 8
SEED = int(os.environ.get("MUSTER_SEED", random.randrange(1 << 32)))
LONGEST_WAIT = 0.6  # seconds; on an idle machine all ranks run after a quarter of that

# Odd ranks leave two processes behind each; rank 3 and 7 and what they leave ignore SIGTERM.
PAYLOAD = f"""
case "$RANK" in
  1|5) exec "$0" --count 2 --stay 600 ;;
  3|7) trap "" TERM; exec "$0" --count 2 --ignore-term --hold-pipe --stay 600 ;;
  *) exec sleep 600 ;;
esac
"""

# $0 becomes /dev/shm.  With "no-cgroup" nobody below can make a cgroup.
NAMESPACE = """
mount --bind "$0" /dev/shm || exit 99
if [ "$1" = no-cgroup ]; then
  mount -o remount,bind,ro /sys/fs/cgroup || exit 99
  ! mkdir "/sys/fs/cgroup/muster-test-$$" 2>/dev/null || exit 99
fi
shift
exec "$@"
"""


def blocks_sigterm(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        masks = [line.split()[1] for line in status if line.startswith("SigBlk:")]
    return bool(int(masks[0], 16) & 1 << signal.SIGTERM - 1)


def can_unshare(*options):
    probe = ["unshare", *options, "sh", "-c", "mount --bind /tmp /dev/shm"]
    try:
        return subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, timeout=20,
                              check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


HAS_MOUNTS = can_unshare("--mount")
needs_mounts = unittest.skipUnless(HAS_MOUNTS, "no mount namespace can be made here (needs root)")


def environment_of(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return {}
    return dict(os.fsdecode(entry).split("=", 1) for entry in entries if b"=" in entry)


def leads_its_group(pid):
    try:
        return os.getpgid(pid) == pid
    except ProcessLookupError:
        return False


class ContainmentTest(muster_test.MusterTest):
    backend = "direct"
    cgroups = "cgroup"

    def setUp(self):
        super().setUp()
        self.temporary = self.directory / "tmp"
        self.temporary.mkdir()
        self.shm = self.directory / "shm" if HAS_MOUNTS else None
        if self.shm:
            self.shm.mkdir(mode=0o1777)
        self.shm_before = set(os.listdir("/dev/shm"))
        self.random = random.Random(f"{SEED} {self.id()}")
        self.options = []
        self.path = os.environ["PATH"]

    def namespace(self, *unshare_options):
        """What goes before muster."""
        if not self.shm:
            return ()
        return ("unshare", "--mount", *unshare_options, "sh", "-c", NAMESPACE, self.shm,
                self.cgroups)

    def start_ranks(self, ranks=RANKS, command=None, unshare_options=()):
        command = command or ("sh", "-c", PAYLOAD, program("double_fork"))
        return self.start_muster(
            ["run", "-n", ranks, "--backend", self.backend, *self.options, "--", *command],
            env={"TMPDIR": self.temporary, "PATH": self.path},
            prefix=self.namespace(*unshare_options))

    def assert_no_files_left(self):
        self.assert_runtime_empty()
        if self.shm:
            self.assertEqual(os.listdir(self.shm), [])
        else:
            self.assertEqual(set(os.listdir("/dev/shm")) - self.shm_before, set())
        # Where Open MPI would have its session, had it not been told of a better place.
        self.assertEqual(os.listdir(self.temporary), [])

    # ---- who is killed ----

    def agents(self):
        """Not their children between fork and exec, which look the same."""
        found = {each.pid: each for each in self.processes()
                 if os.path.basename(each.argv[0]) == "muster-agent"}
        return [each for each in found.values() if each.parent not in found]

    def training_processes(self):
        """Not the orphans that became their agent's children: those lead no process group."""
        agents = {each.pid for each in self.agents()}
        return [each for each in self.processes()
                if each.parent in agents and leads_its_group(each.pid)
                and os.path.basename(each.argv[0]) in ("sh", "sleep", "double_fork")]

    def mpiruns(self, launcher):
        return [each for each in self.processes() if each.parent == launcher
                and os.path.basename(each.argv[0]) in ("mpirun", "prterun")
                and "-np" in each.argv]

    def kill_one_of(self, candidates):
        """Kills one of candidates() as soon as there is any; what it was."""
        while True:
            victims = wait_until(candidates, seconds=30, what="a process to kill")
            victim = self.random.choice(victims)
            environment = environment_of(victim.pid)
            try:
                os.kill(victim.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            return victim, environment

    def rounds(self, one_round, longest_wait=LONGEST_WAIT):
        """Calls one_round(wait) with random waits; the first is 0, so that the start is hit.

        Ranks that ignore SIGTERM have the default grace in the second round, less in the others.
        """
        for number in range(ROUNDS):
            wait = 0 if number == 0 else self.random.uniform(0, longest_wait)
            self.options = [] if number == 1 else ["--set", "limits.failure_grace_period=300ms"]
            with self.subTest(round=number, wait=round(wait, 4), seed=SEED):
                try:
                    one_round(wait)
                finally:
                    self.forget_round()

    def forget_round(self):
        """What a failed round left must not fail the next ones."""
        for process in self.processes():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for directory in (self.shm, self.runtime_dir):
            for path in directory.iterdir() if directory else ():
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()

    def started_ranks(self, running):
        directory = running.run_directory
        events = directory / "events.jsonl" if directory else None
        if not events or not events.exists():
            return 0
        return events.read_text(encoding="utf-8").count('"rank_started"')

    def finish(self, running):
        result = running.wait(60)
        self.assert_nothing_left(within=5)
        self.assert_no_files_left()
        return result


class Direct(ContainmentTest):
    def test_a_killed_training_process_is_named_and_nothing_is_left(self):
        def one_round(wait):
            running = self.start_ranks()
            time.sleep(wait)
            _, environment = self.kill_one_of(self.training_processes)
            self.assert_ends_within_5_s(running)
            result = self.finish(running)
            self.assert_code(result, 137)
            first = result.run_json["first_failure"]
            self.assertEqual((first["rank"], first["how"], first["value"], first["origin"]),
                             (int(environment["RANK"]), "signaled", 9, "training"), f"\n{result}")

        self.rounds(one_round)

    def test_a_killed_agent_is_reported_as_that_and_nothing_is_left(self):
        def one_round(wait):
            running = self.start_ranks()
            time.sleep(wait)
            _, environment = self.kill_one_of(self.agents)
            self.assert_ends_within_5_s(running)
            self.assert_agent_lost(self.finish(running), environment)

        self.rounds(one_round)

    def assert_agent_lost(self, result, environment):
        self.assert_code(result, 70)
        first = result.run_json["first_failure"]
        self.assertEqual((first["rank"], first["how"], first["origin"]),
                         (int(environment["MUSTER_AGENT_RANK"]), "agent_lost", "muster"),
                         f"\n{result}")
        self.assertIn("without a report: killed by SIGKILL (signal 9)", result.stderr)

    def test_a_killed_launcher_leaves_no_process_and_the_next_run_removes_its_files(self):
        def one_round(wait):
            running = self.start_ranks()
            time.sleep(wait)
            running.send(signal.SIGKILL)
            self.assertEqual(running.process.wait(), -signal.SIGKILL)
            self.assert_nothing_left(within=5)
            after = self.start_ranks(ranks=1, command=("true",)).wait()
            self.assert_code(after, 0)
            self.assert_nothing_left(within=5)
            self.assert_no_files_left()

        self.rounds(one_round)

    def test_a_launcher_killed_with_news_unread_leaves_no_process(self):
        # Its agents' sockets then end with an error, not with an end of file.
        running = self.start_ranks(4, (program("double_fork"), "--ignore-term", "--stay", "600"))
        wait_until(lambda: self.started_ranks(running) == 4, seconds=30, what="all ranks")
        wait_until(lambda: self.orphan_count() == 8, seconds=30, what="all that leave their rank")
        running.send(signal.SIGSTOP)
        training = self.training_processes()
        for process in training:
            os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not any(os.path.exists(f"/proc/{each.pid}") for each in training),
                   seconds=30, what="the agents to reap their ranks")
        running.send(signal.SIGKILL)
        self.assert_nothing_left(within=5)

    def test_agents_that_cannot_report_an_end_leave_no_process(self):
        # They were stopped when both the launcher and what they would have reported ended.
        running = self.start_ranks(4, (program("double_fork"), "--ignore-term", "--stay", "600"))
        wait_until(lambda: self.started_ranks(running) == 4, seconds=30, what="all ranks")
        wait_until(lambda: self.orphan_count() == 8, seconds=30, what="all that leave their rank")
        agents = self.agents()
        training = self.training_processes()
        for number, processes in ((signal.SIGSTOP, agents), (signal.SIGKILL, training)):
            for process in processes:
                os.kill(process.pid, number)
        running.send(signal.SIGKILL)
        running.process.wait()
        for agent in agents:
            try:
                os.kill(agent.pid, signal.SIGCONT)
            except ProcessLookupError:
                pass  # the kernel lets a stopped process go on whose parent has died
        self.assert_nothing_left(within=5)

    def orphan_count(self):
        agents = {each.pid for each in self.agents()}
        return sum(each.parent in agents and not leads_its_group(each.pid)
                   for each in self.processes())

    def assert_ends_within_5_s(self, running):
        """The run, orphans included; the launcher itself may still write its records."""
        deadline = time.monotonic() + 5
        while left := [each for each in self.processes() if each.pid != running.pid]:
            if time.monotonic() > deadline:
                self.fail("left after 5 s:\n" + "\n".join(map(repr, left)) +
                          f"\n{running.output().decode('utf-8', 'replace')}")
            time.sleep(0.02)


@muster_test.needs_mpirun
class Mpirun(Direct):
    backend = "mpi"
    mpirun_names_the_signal = True

    def assert_agent_lost(self, result, environment):
        first = result.run_json["first_failure"]
        self.assertEqual(first["origin"], "muster", f"\n{result}")
        if first["how"] == "agent_lost":
            self.assert_code(result, 70)
            self.assertEqual(first["rank"], int(environment["OMPI_COMM_WORLD_RANK"]))
            return
        # It was killed before it had said its name: only mpirun, its parent, knows of it.
        self.assertEqual(first["how"], "mpirun_ended", f"\n{result}")
        self.assertIn(result.code, (70, 75))
        self.assertLess(result.stderr.count("was started"), RANKS)
        if self.mpirun_names_the_signal:
            self.assertRegex(result.stderr, r"\| .*signal 9 \(Killed\)")

    def test_a_killed_mpirun_is_reported_as_that_and_nothing_is_left(self):
        def one_round(wait):
            running = self.start_ranks()
            time.sleep(wait)
            self.kill_one_of(lambda: self.mpiruns(running.pid))
            self.assert_ends_within_5_s(running)
            result = self.finish(running)
            record = result.run_json
            first = record["first_failure"]
            self.assertEqual((first["rank"], first["how"], first["value"], first["origin"]),
                             (None, "mpirun_ended", 9, "muster"), f"\n{result}")
            self.assertRegex(result.stderr, r"mpirun (was )?killed by SIGKILL \(signal 9\)")
            all_ran = all(each["pid"] for each in record["attempts"][-1]["ranks"])
            started = "while ranks ran" in first["description"]
            self.assert_code(result, 70 if started else 75)
            self.assertTrue(all_ran or not started, f"\n{result}")

        self.rounds(one_round)


@needs_mounts
class DirectWithoutCgroups(Direct):
    """Muster makes no cgroup at present, so that this proves that none is needed."""
    cgroups = "no-cgroup"


@needs_mounts
class MpirunWithoutCgroups(Mpirun):
    cgroups = "no-cgroup"


# Makes orphans one after another, each with a session of its own.
ORPHANS = """
import os, time
def orphan():
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            time.sleep(0.01)
            os._exit(0)
        os._exit(0)
    os.wait()
while True:
    orphan()
    time.sleep(0.01)
"""


SAVES = """
trap 'echo saved > "saved-$RANK"; exit 0' TERM
touch "up-$RANK"
while :; do sleep 0.02; done
"""


@needs_mounts
class AsPid1(ContainmentTest):
    """As a container's entrypoint: the first process of a PID namespace of its own."""
    backend = "direct"

    def start_as_pid_1(self, *command):
        running = self.start_ranks(2, command, unshare_options=("--pid", "--fork", "--mount-proc",
                                                                "--kill-child"))
        self.addCleanup(self.assert_nothing_left)
        return running

    def pid_1(self):
        """The launcher, by its pid outside of the namespace."""
        return wait_until(lambda: [each for each in self.processes()
                                   if each.argv[0] == muster_test.MUSTER],
                          seconds=30, what="muster as PID 1")[0].pid

    def zombies_of(self, *parents):
        return {each.pid for each in muster_test.all_processes()
                if each.state == "Z" and each.parent in parents}

    def outcome(self, running):
        result = running.wait(60)
        self.assert_nothing_left()
        self.assert_no_files_left()
        return result

    def test_it_is_pid_1_and_the_exit_code_is_true(self):
        result = self.outcome(self.start_as_pid_1("sh", "-c", "exit 7"))
        self.assert_code(result, 7)
        self.assertEqual(result.run_json["launcher_pid"], 1)
        self.assert_code(self.outcome(self.start_as_pid_1("true")), 0)
        result = self.outcome(self.start_as_pid_1(program("exit_with"), "--signal", 11))
        self.assert_code(result, 139)

    def test_orphans_are_reaped_while_the_run_goes_on(self):
        running = self.start_as_pid_1("sh", "-c", '[ "$RANK" = 0 ] && exec sleep 600; exec "$@"',
                                      "orphans", PYTHON, "-c", ORPHANS)
        launcher = self.pid_1()
        wait_until(lambda: self.started_ranks(running) == 2, seconds=30, what="both ranks")
        # Enters the namespace, as `docker exec` does, and leaves a child behind: PID 1's then.
        for _ in range(20):
            subprocess.run(["nsenter", "--target", str(launcher), "--pid", "--mount", "sh", "-c",
                            "sleep 0.02 & exec true"], check=True, timeout=20,
                           env=self.environment())
        agents = [each.pid for each in self.agents()]
        self.assertEqual(len(agents), 2)
        # A zombie is seen for a moment, now and then; none of them stays.
        first_seen = self.zombies_of(launcher, *agents)
        wait_until(lambda: not first_seen & self.zombies_of(launcher, *agents),
                   what="the reaping of all zombies")
        os.kill(launcher, signal.SIGTERM)
        self.assert_code(self.outcome(running), 143)

    def test_sigterm_ends_it_orderly(self):
        running = self.start_as_pid_1("sh", "-c", SAVES)
        launcher = self.pid_1()
        wait_until(lambda: all((self.work_dir / f"up-{rank}").exists() for rank in range(2)),
                   seconds=30, what="both ranks")
        os.kill(launcher, signal.SIGTERM)
        result = self.outcome(running)
        self.assert_code(result, 143)
        self.assertEqual(result.run_json["status"], "cancelled")
        for rank in range(2):
            self.assertEqual((self.work_dir / f"saved-{rank}").read_text(encoding="utf-8"),
                             "saved\n")

    def test_sigterm_at_any_moment_of_the_start_is_not_lost(self):
        def one_round(wait):
            running = self.start_as_pid_1("sleep", "600")
            launcher = self.pid_1()
            # The kernel drops what reaches a PID 1 before its first line: no program can help that.
            wait_until(lambda: blocks_sigterm(launcher), seconds=30, what="main()")
            time.sleep(wait)
            os.kill(launcher, signal.SIGTERM)
            self.assert_code(self.outcome(running), 143)

        self.rounds(one_round, longest_wait=0.15)


@muster_test.needs_mpirun
class AsPid1WithMpirun(AsPid1):
    backend = "mpi"

    def test_sigterm_before_the_run_has_begun_is_not_lost(self):
        # While muster asks mpirun for its version nothing of the run is there yet.
        wrapper = self.directory / "bin" / "mpirun"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\n[ "$1" = --version ] && touch {self.directory}/asked && '
                           f'sleep 0.5\nexec {muster_test.MPIRUN} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)
        self.path = f"{wrapper.parent}:{os.environ['PATH']}"
        running = self.start_as_pid_1("sleep", "600")
        wait_until((self.directory / "asked").exists, seconds=30, what="the question to mpirun")
        os.kill(self.pid_1(), signal.SIGTERM)
        result = self.outcome(running)
        self.assert_code(result, 143)
        self.assertEqual(result.run_json["status"], "cancelled")


if __name__ == "__main__":
    print(f"MUSTER_SEED={SEED}", file=sys.stderr, flush=True)
    muster_test.main()
