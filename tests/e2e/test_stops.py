"""Stops from outside, limits, and starts that do not come about: what ranks get to do, what the
exit code is, and that nothing is left."""

import fcntl
import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import termios
import time

import muster_test
from muster_test import PYTHON, wait_until

RANKS = 3

# Says that it is there, and on SIGTERM does some work before it ends with 0.
SAVES = """
trap 'echo "saved $RANK" > "saved-$RANK"; exit 0' TERM
touch "up-$RANK"
while :; do sleep 0.02; done
"""

# Does not end for SIGTERM, as a process that is stuck; what it starts does not either.
IGNORES = 'trap "" TERM; touch "up-$RANK"; while :; do sleep 0.02; done'

# Notes SIGUSR1, and ends well when every rank has.
NOTES_USR1 = """
trap 'touch "got-$RANK"' USR1
touch "up-$RANK"
while [ "$(ls got-* 2>/dev/null | wc -l)" -lt "$WORLD_SIZE" ]; do sleep 0.02; done
exit 0
"""


# Appends a byte to its file for every SIGUSR1, those included that Python takes for one.
COUNTS_USR1 = """
import os, signal
read_end, write_end = os.pipe()
os.set_blocking(write_end, False)
signal.set_wakeup_fd(write_end)
signal.signal(signal.SIGUSR1, lambda *_: None)
with open("up-" + os.environ["RANK"], "ab", buffering=0) as counted:
    while True:
        counted.write(os.read(read_end, 1))
"""


class StopTest(muster_test.MusterTest):
    backend = "direct"

    def start_ranks(self, script, *options, **popen):
        """Starts ranks that touch up-RANK in a directory of their own; returns when all did."""
        self.where = self.work_dir / str(self.started)
        self.where.mkdir()
        running = self.start_muster(["run", "-n", RANKS, "--backend", self.backend, *options, "--",
                                     "sh", "-c", script], cwd=self.where, **popen)
        self.wait_for("up")
        return running

    def wait_for(self, name):
        wait_until(lambda: all((self.where / f"{name}-{rank}").exists() for rank in range(RANKS)),
                   seconds=30, what=f"{name}-RANK of all ranks")

    def wait_for_stop(self, running):
        """Until the launcher has begun to end the run; what it prints depends on who had started."""
        events = running.run_directory / "events.jsonl"
        wait_until(lambda: '"event":"stopping"' in events.read_text(encoding="utf-8"),
                   seconds=30, what="the stop")

    def finish(self, running):
        result = running.wait(60)
        self.assert_nothing_left()
        self.assert_runtime_empty()
        return result

    def assert_cancelled(self, result, number):
        self.assert_code(result, 128 + number)
        record = result.run_json
        self.assertEqual((record["status"], record["exit_code"], record["origin"]),
                         ("cancelled", 128 + number, "muster"))
        first = record["first_failure"]
        self.assertEqual((first["rank"], first["how"], first["value"]), (None, "stopped", number))
        self.assertIn(f"was cancelled by {number.name}", result.stderr)

    def rank_ends(self, result):
        return [(each["how"], each["exit_code"], each["signal"])
                for each in result.run_json["attempts"][-1]["ranks"]]

    def assert_saved(self):
        for rank in range(RANKS):
            self.assertEqual((self.where / f"saved-{rank}").read_text(encoding="utf-8"),
                             f"saved {rank}\n")


class Direct(StopTest):
    def test_ranks_may_clean_up_after_a_signal_to_the_launcher(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(signal=number.name):
                running = self.start_ranks(SAVES)
                running.send(number)
                result = self.finish(running)
                self.assert_cancelled(result, number)
                self.assert_saved()
                self.assertEqual(self.rank_ends(result), [("stopped", 0, None)] * RANKS)

    def test_a_rank_that_ignores_sigterm_is_killed_after_the_grace(self):
        running = self.start_ranks(IGNORES, "--set", "limits.stop_grace_period=500ms")
        running.send(signal.SIGTERM)
        result = self.finish(running)
        self.assert_cancelled(result, signal.SIGTERM)
        self.assertEqual(self.rank_ends(result), [("stopped", None, "SIGKILL")] * RANKS)
        self.assertIn("SIGKILL after 500 ms", result.stderr)

    def test_a_second_signal_skips_the_grace(self):
        # With an hour of grace only the second signal can have ended it.
        running = self.start_ranks(IGNORES, "--set", "limits.stop_grace_period=1h")
        running.send(signal.SIGTERM)
        self.wait_for_stop(running)
        running.send(signal.SIGTERM)
        result = self.finish(running)
        self.assert_cancelled(result, signal.SIGTERM)
        self.assertEqual(self.rank_ends(result), [("stopped", None, "SIGKILL")] * RANKS)

    def test_the_first_signal_gives_the_code(self):
        running = self.start_ranks(IGNORES, "--set", "limits.stop_grace_period=1h")
        running.send(signal.SIGINT)
        self.wait_for_stop(running)
        running.send(signal.SIGTERM)
        self.assert_cancelled(self.finish(running), signal.SIGINT)

    def test_a_failure_while_ranks_are_asked_to_end_changes_nothing(self):
        running = self.start_ranks(SAVES.replace("exit 0", "exit 9"))
        running.send(signal.SIGTERM)
        result = self.finish(running)
        self.assert_cancelled(result, signal.SIGTERM)
        self.assertEqual(self.rank_ends(result), [("stopped", 9, None)] * RANKS)

    def test_no_grace_at_all_kills_at_once(self):
        running = self.start_ranks(SAVES, "--set", "limits.stop_grace_period=0s")
        running.send(signal.SIGTERM)
        result = self.finish(running)
        self.assert_cancelled(result, signal.SIGTERM)
        self.assertEqual(self.rank_ends(result), [("stopped", None, "SIGKILL")] * RANKS)

    def test_a_stop_budget_shortens_the_grace(self):
        # With an hour of grace only the budget can have ended it: 60 % of 2 s.
        running = self.start_ranks(IGNORES, "--set", "limits.stop_grace_period=1h",
                                   "--set", "limits.stop_budget=2s")
        running.send(signal.SIGTERM)
        result = self.finish(running)
        self.assert_cancelled(result, signal.SIGTERM)
        self.assertIn("SIGKILL after 1.2 s", result.stderr)
        self.assertEqual(self.rank_ends(result), [("stopped", None, "SIGKILL")] * RANKS)

    def test_a_rank_that_stands_still_hears_of_the_stop(self):
        running = self.start_ranks(SAVES, "--set", "limits.stop_grace_period=1h")
        events = (running.run_directory / "events.jsonl").read_text(encoding="utf-8")
        for event in map(json.loads, events.splitlines()):
            if event["event"] == "rank_started":
                os.kill(event["pid"], signal.SIGSTOP)
        running.send(signal.SIGTERM)
        self.assert_cancelled(self.finish(running), signal.SIGTERM)
        self.assert_saved()

    @muster_test.needs_root
    def test_the_first_process_of_a_container_has_ten_seconds(self):
        result = self.run_muster(["plan", "--json", "--", "true"],
                                 prefix=["unshare", "--pid", "--fork", "--mount-proc"])
        if result.code != 0 and "unshare" in result.stderr:
            self.skipTest(result.stderr)
        plan = json.loads(result.stdout)
        self.assertEqual(plan["limits"]["stop_budget_ms"], 10_000)
        reasons = {each["subject"]: each for each in plan["reasons"]}
        self.assertIn("PID 1", reasons["stop_budget"]["why"])

    def test_the_time_limit_is_124(self):
        running = self.start_ranks(SAVES, "--set", "limits.max_run_duration_seconds=1")
        result = self.finish(running)
        self.assert_code(result, 124)
        record = result.run_json
        self.assertEqual((record["status"], record["origin"]), ("failed", "muster"))
        self.assertEqual(record["first_failure"]["how"], "time_limit")
        self.assertIn("was stopped at its time limit of 1.0 s (max_run_duration_seconds)",
                      result.stderr)
        self.assert_saved()

    def test_sighup_is_ignored_when_it_was_at_the_start(self):
        running = self.start_ranks(SAVES, prefix=["nohup"])
        running.send(signal.SIGHUP)
        time.sleep(0.3)  # a stop would have begun
        self.assertIsNone(running.process.poll())
        self.assertNotIn(b"ending", running.output())
        running.send(signal.SIGTERM)
        self.assert_cancelled(self.finish(running), signal.SIGTERM)
        self.assert_saved()

    def test_run_json_says_that_the_run_is_stopping_before_the_grace_is_over(self):
        running = self.start_ranks(IGNORES, "--set", "limits.stop_grace_period=1h")
        running.send(signal.SIGTERM)
        self.wait_for_stop(running)
        with open(running.run_directory / "run.json", encoding="utf-8") as file:
            record = json.load(file)
        self.assertEqual((record["status"], record["stopping"]), ("stopping", "SIGTERM"))
        running.send(signal.SIGTERM)
        self.assert_cancelled(self.finish(running), signal.SIGTERM)

    def test_a_caller_that_ignores_sigchld_changes_nothing(self):
        for code in (0, 7):
            with self.subTest(code=code):
                result = self.run_muster(
                    ["run", "-n", 2, "--backend", self.backend, "--", "sh", "-c", f"exit {code}"],
                    prefix=["env", "--ignore-signal=CHLD"])
                self.assert_code(result, code)

    def test_a_signal_to_an_agent_from_anybody_is_no_word_about_the_run(self):
        running = self.start_ranks(SAVES)
        agents = [process for process in running.processes()
                  if os.path.basename(process.argv[0]) == "muster-agent"]
        self.assertEqual(len(agents), RANKS)
        for agent in agents:
            os.kill(agent.pid, signal.SIGTERM)
        time.sleep(1)  # longer than a reason is waited for
        self.assertIsNone(running.process.poll())
        self.assertNotIn(b"ending", running.output())
        running.send(signal.SIGTERM)
        self.assert_cancelled(self.finish(running), signal.SIGTERM)

    def test_sigusr1_reaches_every_rank(self):
        running = self.start_ranks(NOTES_USR1)
        running.send(signal.SIGUSR1)
        self.assert_code(self.finish(running), 0)

    def test_each_signal_reaches_a_rank_once(self):
        # Twice would mean "at once" to many a training program.
        count = 20
        self.where = self.work_dir / "counted"
        self.where.mkdir()
        running = self.start_muster(["run", "-n", RANKS, "--backend", self.backend, "--",
                                     PYTHON, "-c", COUNTS_USR1], cwd=self.where)
        self.wait_for("up")
        for number in range(1, count + 1):
            running.send(signal.SIGUSR1)
            wait_until(lambda number=number: all(got >= number for got in self.counted()),
                       what=f"signal {number} at all ranks")
        running.send(signal.SIGTERM)
        self.assert_cancelled(self.finish(running), signal.SIGTERM)
        self.assertEqual(self.counted(), [count] * RANKS)

    def counted(self):
        return [(self.where / f"up-{rank}").stat().st_size for rank in range(RANKS)]

    def test_a_stop_during_the_start_is_a_stop(self):
        for number in range(muster_test.ROUNDS):
            wait = 0.02 * (number % 15)
            with self.subTest(round=number, wait=wait):
                running = self.start_muster(["run", "-n", 8, "--backend", self.backend, "--",
                                             "sleep", "600"])
                wait_until(lambda running=running: running.run_directory, what="a run directory")
                time.sleep(wait)
                running.send(signal.SIGTERM)
                self.assert_cancelled(self.finish(running), signal.SIGTERM)

    # ---- a terminal ----

    def start_on_terminal(self, script, *options):
        """As from a shell: in a session of its own, whose controlling terminal is a real pty."""
        self.terminal, slave = pty.openpty()
        self.addCleanup(os.close, self.terminal)
        self.shown = b""

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.where = self.work_dir / str(self.started)
        self.where.mkdir()
        process = subprocess.Popen(
            [*muster_test.SANDBOX, muster_test.MUSTER, "run", "-n", str(RANKS), "--backend",
             self.backend, *options, "--", "sh", "-c", script],
            cwd=self.where, env=self.environment({"TERM": "xterm"}), stdin=slave, stdout=slave,
            stderr=slave, preexec_fn=own_terminal)
        self.addCleanup(muster_test.end, process)
        os.close(slave)
        os.set_blocking(self.terminal, False)
        self.wait_for("up")
        return process

    def read_terminal(self):
        try:
            while data := os.read(self.terminal, 65536):
                self.shown += data
        except OSError:  # nothing there now, or nobody has it open any more
            pass
        return self.shown

    def press_ctrl_c(self):
        os.write(self.terminal, b"\x03")

    def end_on_terminal(self, process):
        wait_until(lambda: (self.read_terminal(), process.poll() is not None)[1], seconds=60,
                   what="muster's end")
        self.read_terminal()
        self.assert_nothing_left()
        self.assert_runtime_empty()
        self.assertEqual(process.returncode, 130, self.shown.decode("utf-8", "replace"))
        self.assertIn(b"was cancelled by SIGINT", self.shown)

    def test_one_ctrl_c_ends_orderly(self):
        process = self.start_on_terminal(SAVES)
        self.press_ctrl_c()
        self.end_on_terminal(process)
        self.assert_saved()

    def test_two_ctrl_c_end_at_once(self):
        process = self.start_on_terminal(IGNORES, "--set", "limits.stop_grace_period=1h")
        self.press_ctrl_c()
        wait_until(lambda: b"; ending " in self.read_terminal(), seconds=30, what="the stop")
        self.assertIsNone(process.poll())
        self.press_ctrl_c()
        self.end_on_terminal(process)


@muster_test.needs_mpirun
class Mpirun(Direct):
    backend = "mpi"

    # ---- an mpirun that is not what it seems ----

    def mpirun_that(self, script):
        """PATH with an mpirun in front that does `script` when it should start ranks."""
        directory = self.directory / "bin"
        directory.mkdir()
        wrapper = directory / "mpirun"
        wrapper.write_text("#!/bin/sh\n"
                           f'[ "$1" = --version ] && exec {shutil.which("mpirun")} --version\n'
                           f"{script}\n", encoding="utf-8")
        wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
        return {"PATH": f"{directory}:{os.environ['PATH']}"}

    def run_with(self, environment, *options):
        result = self.finish(self.start_muster(
            ["run", "-n", RANKS, "--backend", "mpi", *options, "--", "true"], env=environment))
        self.assert_code(result, 75)
        record = result.run_json
        self.assertEqual((record["status"], record["origin"]), ("failed", "muster"))
        self.assertEqual({each["how"] for each in record["attempts"][-1]["ranks"]}, {"not_started"})
        return result

    def test_an_mpirun_that_starts_nothing_is_not_waited_for_beyond_join_timeout(self):
        result = self.run_with(self.mpirun_that("exec sleep 600"),
                               "--set", "limits.join_timeout=1s")
        first = result.run_json["first_failure"]
        self.assertEqual((first["how"], first["value"]), ("start_timeout", 0))
        self.assertIn("had started within 1.0 s (join_timeout)", result.stderr)

    def test_an_mpirun_that_fails_at_once_is_reported_with_its_last_lines(self):
        result = self.run_with(self.mpirun_that("echo 'no such fabric: /dev/hfi1' >&2; exit 1"))
        first = result.run_json["first_failure"]
        self.assertEqual((first["how"], first["value"]), ("mpirun_ended", 1))
        self.assertIn("mpirun exited with 1 before all ranks had started", result.stderr)
        self.assertIn("| no such fabric: /dev/hfi1", result.stderr)

    def test_an_mpirun_that_ends_well_and_starts_nothing_is_a_failure_all_the_same(self):
        result = self.run_with(self.mpirun_that("exit 0"))
        self.assertIn("mpirun exited with 0 before all ranks had started", result.stderr)

    def test_an_mpirun_that_leaves_a_rank_out_is_noticed(self):
        # As Open MPI 4.1 does when an agent is killed while it forks the others.
        fake = """
            for agent; do :; done
            for rank in 0 2; do
                OMPI_COMM_WORLD_RANK=$rank OMPI_COMM_WORLD_LOCAL_RANK=$rank \\
                    OMPI_COMM_WORLD_SIZE=3 "$agent" &
            done
            wait
            """
        running = self.start_muster(["run", "-n", RANKS, "--backend", "mpi", "--", "sleep", "600"],
                                    env=self.mpirun_that(fake))
        result = self.finish(running)
        self.assert_code(result, 70)
        first = result.run_json["first_failure"]
        self.assertEqual((first["rank"], first["how"], first["origin"]),
                         (1, "agent_lost", "muster"))

    def test_an_mpirun_that_gives_no_identity_is_refused_by_the_agents(self):
        fake = """
            for agent; do :; done
            for rank in 0 1 2; do OMPI_COMM_WORLD_RANK=$rank "$agent" & done
            wait
            """
        result = self.finish(self.start_muster(
            ["run", "-n", RANKS, "--backend", "mpi", "--", "true"], env=self.mpirun_that(fake)))
        self.assert_code(result, 70)
        self.assertEqual(result.run_json["first_failure"]["origin"], "muster")
        self.assertIn("its agent refused to start it: OMPI_COMM_WORLD_SIZE is not set",
                      result.stderr)

    def test_what_such_an_mpirun_left_running_is_ended(self):
        self.run_with(self.mpirun_that("setsid sleep 600 & trap '' TERM; sleep 600"),
                      "--set", "limits.join_timeout=1s")


if __name__ == "__main__":
    muster_test.main()
