"""A run that can be asked, cancelled, detached from and attached to."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import muster_test
from muster_test import MUSTER, is_alive, needs_mpirun, needs_root, program, wait_until

# Says a line now and then until go-RANK appears, then ends with the code in it.
STEPS = """
step=0
while [ ! -e "go-$RANK" ]; do echo "step $step of $RANK"; step=$((step+1)); sleep 0.05; done
echo "last of $RANK"
exit $(cat "go-$RANK")
"""

IGNORES = 'trap "" TERM; touch "up-$RANK"; while :; do sleep 0.02; done'


class ControlTest(muster_test.MusterTest):
    backend = "direct"
    ranks = 2

    def run_words(self, *options, script=STEPS):
        return ["run", "-n", self.ranks, "--backend", self.backend, *options, "--",
                "sh", "-c", script]

    def start_run(self, *options, script=STEPS, **popen):
        """A run in the foreground, with all ranks started."""
        running = self.start_muster(self.run_words(*options, script=script), **popen)
        wait_until(lambda: self.phase(running) == "running", 60, "all ranks running")
        return running

    def phase(self, running):
        directory = running.run_directory
        if directory is None or not (directory / "run.json").exists():
            return None
        answer = self.ask("status", directory, "--json")
        return json.loads(answer.stdout)["phase"] if answer.returncode == 0 else None

    def ask(self, *words, env=None, prefix=(), timeout=60):
        """A muster beside the run, to its end."""
        return subprocess.run([*prefix, MUSTER, *map(str, words)], env=self.environment(env),
                              cwd=self.work_dir, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=timeout, check=False)

    def status(self, run):
        answer = self.ask("status", run, "--json")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return json.loads(answer.stdout)

    def detach(self, *options, script=STEPS):
        """The id of a run in the background."""
        answer = self.ask(*self.run_words("--detach", *options, script=script))
        self.assertEqual(answer.returncode, 0, answer.stderr)
        run_id = answer.stdout.strip()
        self.assertEqual(answer.stdout, run_id + "\n")
        self.addCleanup(self.ask, "cancel", run_id, "--now")
        return run_id

    def let_go(self, *codes):
        for rank, code in enumerate(codes or [0] * self.ranks):
            partial = self.work_dir / f"partial-{rank}"
            partial.write_text(f"{code}\n", encoding="utf-8")
            partial.rename(self.work_dir / f"go-{rank}")

    def run_json(self, run_id):
        return json.loads((self.runs_dir / run_id / "run.json").read_text(encoding="utf-8"))

    def wait_for_end(self, run_id):
        wait_until(lambda: self.run_json(run_id)["ended_at"], 60, "the end of the run")
        self.assert_nothing_left()
        return self.run_json(run_id)


class Status(ControlTest):
    def test_a_running_run(self):
        running = self.start_run()
        run = running.run_directory.name
        status = self.status(run)
        self.assertEqual((status["run_id"], status["status"], status["live"], status["running"]),
                         (run, "running", True, self.ranks))
        self.assertEqual(status["launcher_pid"], running.pid)
        for rank, each in enumerate(status["ranks"]):
            self.assertEqual((each["rank"], each["state"]), (rank, "running"))
            self.assertTrue(is_alive(each["pid"]))
            self.assertGreater(each["memory_bytes"], 0)
            self.assertEqual(sum(each["threads"].values()), 1)
            self.assertIsNotNone(each["cpu_percent"])
        wait_until(lambda: all(each["stdout_bytes"] > 0 and each["last_line"].startswith("step ")
                               for each in self.status(run)["ranks"]), 30, "bytes and lines")
        text = self.ask("status", run).stdout
        self.assertIn(f"run {run} on ", text)
        self.assertIn(f"running {self.ranks}/{self.ranks} for ", text)
        self.let_go()
        self.assert_code(running.wait(), 0)
        ended = self.ask("status", run)
        self.assertEqual(ended.returncode, 0)
        self.assertIn(": succeeded after ", ended.stdout)
        status = self.status(run)
        self.assertEqual((status["status"], status["live"], status["exit_code"]),
                         ("succeeded", False, 0))
        self.assertEqual([each["how"] for each in status["ranks"]], ["exited"] * self.ranks)

    def test_a_stopped_rank_is_marked_and_a_busy_one_shows_its_share(self):
        running = self.start_run(script="[ $RANK = 0 ] || while :; do :; done; sleep 600")
        run = running.run_directory
        stopped = self.status(run)["ranks"][0]["pid"]
        os.kill(stopped, signal.SIGSTOP)
        status = wait_until(lambda: [s for s in [self.status(run)] if s["ranks"][0]["mark"]], 30,
                            "the mark")[0]
        self.assertEqual(status["ranks"][0]["mark"], "stopped")
        self.assertIsNone(status["ranks"][1]["mark"])
        self.assertGreater(status["ranks"][1]["cpu_seconds"], 0)
        self.assertIn("stopped (T)", self.ask("status", run).stdout)
        self.assertEqual(self.ask("cancel", run, "--now").returncode, 0)
        running.wait()

    def test_watching_ends_with_the_run(self):
        running = self.start_run()
        watch = self.start_muster(["status", running.run_directory, "--watch", "--json"])
        wait_until(lambda: watch.output().count(b"\n") >= 2, 60, "two looks")
        self.let_go()
        running.wait()
        result = watch.wait()
        self.assert_code(result, 0)
        looks = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual(looks[0]["status"], "running")
        self.assertEqual((looks[-1]["status"], looks[-1]["live"]), ("succeeded", False))

    def test_a_lost_run(self):
        running = self.start_run()
        run = running.run_directory
        running.send(signal.SIGKILL)
        running.process.wait()
        self.assert_nothing_left()
        self.assertEqual(self.status(run)["status"], "lost")
        self.assertIn("is gone and did not write how it ended", self.ask("status", run).stdout)
        for words in (["cancel", run], ["attach", run]):
            answer = self.ask(*words)
            self.assertEqual(answer.returncode, 70, answer.stderr)
            self.assertIn("is lost: its launcher", answer.stderr)

    def test_a_launcher_that_cannot_be_reached(self):
        running = self.start_run()
        run = running.run_directory
        record = json.loads((run / "run.json").read_text(encoding="utf-8"))
        away = Path(record["control_socket"] + ".away")
        os.rename(record["control_socket"], away)
        answer = self.ask("status", run)
        self.assertEqual(answer.returncode, 0)
        self.assertIn("running, as run.json has it", answer.stdout)
        self.assertIn("another container or mount namespace", answer.stderr)
        self.assertEqual(self.ask("cancel", run).returncode, 69)
        record["hostname"] = record["launcher"]["hostname"] = "another-host"
        (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
        answer = self.ask("attach", run)
        self.assertEqual(answer.returncode, 69)
        self.assertIn("on another-host, and this is " + socket.gethostname(), answer.stderr)
        os.rename(away, record["control_socket"])
        self.let_go()
        self.assert_code(running.wait(), 0)

    def test_a_stopped_launcher_is_told_and_woken_by_a_cancel(self):
        running = self.start_run()
        running.send(signal.SIGSTOP)
        answer = self.ask("status", running.run_directory)
        self.assertEqual(answer.returncode, 75, answer.stderr)
        self.assertIn("the launcher does not answer", answer.stderr)
        self.assertIn(f"kill -CONT {running.pid}", answer.stderr)
        answer = self.ask("cancel", running.run_directory)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("stands still (Ctrl-Z): it goes on, to end orderly", answer.stderr)
        self.assert_code(running.wait(), 128 + signal.SIGTERM)

    def test_a_read_only_run_directory(self):
        running = self.start_run()
        self.let_go()
        self.assert_code(running.wait(), 0)
        run = running.run_directory
        subprocess.run(["chmod", "-R", "a-w", run], check=True)
        self.addCleanup(subprocess.run, ["chmod", "-R", "u+w", run], check=True)
        self.assertEqual(self.status(run)["status"], "succeeded")
        answer = self.ask("attach", run)
        self.assertEqual(answer.returncode, 0)
        self.assertIn("succeeded: 2 ranks in", answer.stderr)

    def test_questions_during_a_flood_lose_no_bytes(self):
        bytes_each = 200 << 20
        flood = program("flood")
        running = self.start_muster(["run", "-n", self.ranks, "--backend", self.backend,
                                     "--console", "none", "--", flood, "--bytes", bytes_each])
        wait_until(lambda: running.run_directory and
                   (running.run_directory / "run.json").exists(), 30, "the run")
        asked = 0
        while asked < 100:
            batch = [subprocess.Popen([*muster_test.SANDBOX, MUSTER, "status",
                                       str(running.run_directory), "--json"],
                                      env=self.environment(), stdout=subprocess.DEVNULL)
                     for _ in range(10)]
            for each in batch:
                self.assertEqual(each.wait(60), 0)
            asked += len(batch)
        result = running.wait(120)
        self.assert_code(result, 0)
        self.assertEqual(result.run_json["gaps"], [])
        for rank in range(self.ranks):
            self.assertIsNone(muster_test.flood_difference(result.rank_file(rank), rank,
                                                           bytes_each))


class Cancel(ControlTest):
    def assert_cancelled(self, record):
        self.assertEqual((record["status"], record["exit_code"], record["origin"]),
                         ("cancelled", 143, "muster"))
        self.assertTrue(record["first_failure"]["description"]
                        .startswith("stopped by muster cancel (user "))

    def test_while_it_runs(self):
        running = self.start_run()
        answer = self.ask("cancel", running.run_directory)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("was cancelled after", answer.stdout)
        result = running.wait()
        self.assert_code(result, 143)
        self.assert_cancelled(result.run_json)
        self.assertIn("was cancelled by muster cancel (user ", result.stderr)
        again = self.ask("cancel", running.run_directory)
        self.assertEqual(again.returncode, 64)
        self.assertIn("has ended already: was cancelled", again.stderr)
        self.assert_nothing_left()
        self.assert_runtime_empty()

    def test_while_it_starts(self):
        for _ in range(muster_test.ROUNDS):
            running = self.start_muster(self.run_words())
            wait_until(lambda: running.run_directory and
                       (running.run_directory / "run.json").exists(), 30, "run.json")
            answer = self.ask("cancel", running.run_directory)
            self.assertEqual(answer.returncode, 0, answer.stderr)
            result = running.wait()
            self.assert_code(result, 143)
            self.assert_cancelled(result.run_json)
            self.assert_nothing_left()

    def test_twice_skips_the_grace(self):
        running = self.start_run("--set", "limits.stop_grace_period=1h", script=IGNORES)
        run = running.run_directory
        first = self.ask("cancel", run, "--no-wait")
        self.assertEqual(first.returncode, 0)
        wait_until(lambda: self.status(run)["phase"] == "stopping", 30, "the stop")
        self.assertIn("stopping 2/2 (muster cancel (user ", self.ask("status", run).stdout)
        second = self.ask("cancel", run)
        self.assertEqual(second.returncode, 0)
        self.assertIn("its grace is skipped", second.stderr)
        result = running.wait()
        self.assert_code(result, 143)
        self.assertEqual([each["signal"] for each in result.run_json["attempts"][-1]["ranks"]],
                         ["SIGKILL"] * self.ranks)

    def test_now_skips_the_grace(self):
        running = self.start_run("--set", "limits.stop_grace_period=1h", script=IGNORES)
        answer = self.ask("cancel", running.run_directory, "--now")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assert_code(running.wait(), 143)

    def test_one_that_fails_by_itself_was_not_cancelled(self):
        running = self.start_run(
            "--set", "limits.failure_grace_period=1h", "--set", "limits.stop_grace_period=1h",
            script='[ $RANK = 0 ] || { sleep 0.5; exit 9; }; trap "" TERM; '
                   'while :; do sleep 0.02; done')
        run = running.run_directory
        wait_until(lambda: self.status(run)["phase"] == "stopping", 30, "the failure")
        answer = self.ask("cancel", run)
        self.assertEqual(answer.returncode, 64, answer.stderr)
        self.assertIn("had ended before it was cancelled", answer.stderr)
        self.assertIn("rank 1 exited with 9", answer.stderr)
        self.assert_code(running.wait(), 9)

    def test_none_is_named(self):
        answer = self.ask("cancel")
        self.assertEqual(answer.returncode, 64)
        self.assertIn("ends the run that is named", answer.stderr)

    @needs_root
    def test_by_another_user(self):
        if not shutil.which("setpriv"):
            self.skipTest("no setpriv")
        running = self.start_run()
        run = running.run_directory
        for each in (self.directory, self.runs_dir, self.work_dir):
            each.chmod(0o755)
        other = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        answer = self.ask("cancel", run, prefix=other)
        self.assertEqual(answer.returncode, 77, answer.stderr)
        self.assertIn("may not be asked by this user", answer.stderr)
        # Also where somebody widened the directories.
        control = Path(json.loads((run / "run.json").read_text())["control_socket"])
        for each in (self.runtime_dir, control.parent):
            each.chmod(0o777)
        control.chmod(0o777)
        answer = self.ask("cancel", run, prefix=other)
        self.assertEqual(answer.returncode, 77, answer.stderr)
        self.assertIn("this run belongs to user 0, and you are user 65534", answer.stderr)
        self.assertEqual(self.status(run)["phase"], "running")
        self.assertIn("control socket: refused process",
                      (run / "events.jsonl").read_text(encoding="utf-8"))
        self.let_go()
        self.assert_code(running.wait(), 0)

    def test_garbage_on_the_socket_ends_only_that_connection(self):
        running = self.start_run()
        run = running.run_directory
        address = json.loads((run / "run.json").read_text(encoding="utf-8"))["control_socket"]
        with socket.socket(socket.AF_UNIX) as garbage:
            garbage.settimeout(30)
            garbage.connect(address)
            garbage.sendall(b"GET / HTTP/1.1\r\n" * 20)
            try:
                self.assertEqual(garbage.recv(100), b"")
            except ConnectionResetError:
                pass
        self.assertEqual(self.status(run)["phase"], "running")
        events = (run / "events.jsonl").read_text(encoding="utf-8")
        self.assertIn("control socket: closed the connection of process", events)
        self.let_go()
        self.assert_code(running.wait(), 0)


class Detach(ControlTest):
    def test_it_goes_on_and_ends_with_each_code(self):
        for code, status in ((0, "succeeded"), (7, "failed"), (137, "failed")):
            with self.subTest(code=code):
                for left in self.work_dir.glob("go-*"):
                    left.unlink()
                run_id = self.detach()
                launcher = self.status(run_id)["launcher_pid"]
                self.assertEqual(os.getsid(launcher), launcher)
                stat = Path(f"/proc/{launcher}/stat").read_text(encoding="utf-8")
                self.assertEqual(stat[stat.rindex(")") + 2:].split()[4], "0", "a terminal")
                stdio = [os.readlink(f"/proc/{launcher}/fd/{fd}") for fd in range(3)]
                self.assertEqual(stdio[:2], ["/dev/null"] * 2)
                self.assertTrue(stdio[2].endswith(".log"), stdio)
                attached = self.start_muster(["attach", run_id])
                wait_until(lambda: b"step " in attached.output(), 30, "output")
                self.let_go(*([code] * self.ranks))
                self.assert_code(attached.wait(), code)
                record = self.wait_for_end(run_id)
                self.assertEqual((record["status"], record["exit_code"]), (status, code))
                later = self.ask("attach", run_id)
                self.assertEqual(later.returncode, code)
                self.assertEqual(later.stdout, "")
                report = (self.runs_dir / run_id / "report.txt").read_text(encoding="utf-8")
                self.assertEqual(later.stderr, report)

    def test_it_survives_the_end_of_its_session(self):
        # A session leader whose end the kernel tells to its group, as a closed terminal does.
        words = shlex.join([*muster_test.SANDBOX, MUSTER, *map(str, self.run_words("--detach"))])
        script = words + " >id"
        shell = subprocess.Popen(["sh", "-c", script + "; sleep 600"],
                                 env=self.environment(), cwd=self.work_dir,
                                 stderr=subprocess.DEVNULL, start_new_session=True)
        self.addCleanup(muster_test.end, shell)
        run_id = wait_until(lambda: (self.work_dir / "id").exists() and
                            (self.work_dir / "id").read_text(encoding="utf-8").strip(), 60, "id")
        os.killpg(shell.pid, signal.SIGHUP)
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        time.sleep(0.2)
        self.assertEqual(self.status(run_id)["phase"], "running")
        self.let_go()
        self.assertEqual(self.wait_for_end(run_id)["status"], "succeeded")

    def test_nothing_of_the_caller_stays_open(self):
        # A shell's $(…) returns when every holder of its pipe is gone, whatever its number.
        read_end, write_end = os.pipe()
        os.set_inheritable(write_end, True)
        answer = subprocess.run(
            [MUSTER, *map(str, self.run_words("--detach"))], env=self.environment(),
            cwd=self.work_dir, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            pass_fds=[write_end], timeout=60, check=False)
        os.close(write_end)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        with os.fdopen(read_end, "rb") as reader:
            self.assertEqual(reader.read(), b"")  # would wait for the run
        self.assertEqual(self.ask("cancel", answer.stdout.strip()).returncode, 0)

    def test_a_start_that_fails_is_told_in_the_foreground(self):
        cases = ((["--", "no-such-program"], 127, "could not start its program"),
                 (["no-such.yaml"], 65, "cannot read the config"),
                 (["--runs-dir", "/dev/null/x", "--", "true"], 73, "creating directory"),
                 (["--stdin", "rank0", "--", "true"], 64, "contradict each other"),
                 (["--backend", "smoke", "--", "true"], 65, "smoke"))
        for words, code, said in cases:
            with self.subTest(words=words):
                answer = self.ask("run", "-n", 2, "--backend", self.backend, "--detach", *words)
                self.assertEqual(answer.returncode, code, answer.stderr)
                self.assertEqual(answer.stdout, "")
                self.assertIn(said, answer.stderr)
                self.assert_nothing_left()

    def test_an_interrupt_while_it_starts_ends_it(self):
        running = self.start_muster(self.run_words("--detach"))
        time.sleep(0.02)  # at any moment; this one is likely to be in the middle
        running.send(signal.SIGINT)
        result = running.wait()
        # It was ended, or had started and told its id before that; nothing in between.
        if result.code == 0:
            self.assertEqual(self.ask("cancel", result.stdout.strip()).returncode, 0)
        else:
            self.assertIn(result.code, (130, -signal.SIGINT), f"\n{result}")
        self.assert_nothing_left()

    def test_as_process_1_it_makes_no_sense(self):
        unshare = shutil.which("unshare")
        if not unshare or os.geteuid() != 0:
            self.skipTest("needs unshare and root")
        answer = self.ask(*self.run_words("--detach"), prefix=(unshare, "--pid", "--fork"))
        if "unshare" in answer.stderr and "permitted" in answer.stderr:
            self.skipTest(answer.stderr.strip())
        self.assertEqual(answer.returncode, 64, answer.stderr)
        self.assertIn("makes no sense as process 1", answer.stderr)


class Attach(ControlTest):
    def test_to_a_run_in_the_foreground_from_now_and_from_the_start(self):
        running = self.start_run("--console", "none")
        run = running.run_directory
        wait_until(lambda: b"step 5 " in (run / "ranks/00000/attempt-0/stdout.log").read_bytes(),
                   30, "some steps")
        now = self.start_muster(["attach", run])
        start = self.start_muster(["attach", run, "--from-start", "--console", "all"])
        wait_until(lambda: b"step " in now.output() and b"step " in start.output(), 30, "output")
        self.let_go(3, 0)
        self.assert_code(running.wait(), 3)
        from_now, from_start = now.wait(), start.wait()
        self.assert_code(from_now, 3)
        self.assert_code(from_start, 3)
        stored = [(run / f"ranks/{rank:05}/attempt-0/stdout.log").read_text(encoding="utf-8")
                  for rank in range(self.ranks)]
        for rank in range(self.ranks):
            mine = [line for line in from_start.stdout.splitlines() if line.startswith(f"[{rank}]")]
            self.assertEqual(mine, [f"[{rank}] {line}" for line in stored[rank].splitlines()])
        shown = from_now.stdout.splitlines()
        self.assertNotIn("[0] step 0 of 0", shown)
        self.assertEqual(shown, [f"[0] {line}" for line in stored[0].splitlines()][-len(shown):])
        report = (run / "report.txt").read_text(encoding="utf-8")
        self.assertTrue(from_now.stderr.endswith(report), from_now.stderr)

    def test_an_interrupt_detaches_and_the_run_goes_on(self):
        run_id = self.detach()
        attached = self.start_muster(["attach", run_id])
        wait_until(lambda: b"step " in attached.output(), 30, "output")
        attached.send(signal.SIGINT)
        result = attached.wait()
        self.assert_code(result, 130)
        self.assertIn(f"muster: detached; run {run_id} goes on", result.stderr)
        self.assertEqual(self.status(run_id)["phase"], "running")
        self.let_go()
        self.assertEqual(self.wait_for_end(run_id)["status"], "succeeded")

    def test_the_launcher_is_killed(self):
        running = self.start_run()
        attached = self.start_muster(["attach", running.run_directory])
        wait_until(lambda: b"step " in attached.output(), 30, "output")
        running.send(signal.SIGKILL)
        running.process.wait()
        result = attached.wait()
        self.assert_code(result, 70)
        self.assertIn("is lost: its launcher", result.stderr)
        self.assert_nothing_left()

    def test_a_cancelled_run_ends_it_with_its_code(self):
        run_id = self.detach()
        attached = self.start_muster(["attach", run_id])
        wait_until(lambda: b"step " in attached.output(), 30, "output")
        self.assertEqual(self.ask("cancel", run_id).returncode, 0)
        self.assert_code(attached.wait(), 143)


@needs_mpirun
class ThroughMpirun(ControlTest):
    backend = "mpi"

    def test_detach_status_attach_and_cancel(self):
        run_id = self.detach()
        self.assertEqual(self.status(run_id)["running"], self.ranks)
        attached = self.start_muster(["attach", run_id])
        wait_until(lambda: b"step " in attached.output(), 30, "output")
        answer = self.ask("cancel", run_id)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assert_code(attached.wait(), 143)
        self.assertEqual(self.wait_for_end(run_id)["status"], "cancelled")
        self.assert_runtime_empty()


if __name__ == "__main__":
    muster_test.main()
