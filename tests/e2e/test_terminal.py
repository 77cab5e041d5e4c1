"""A terminal session as a person has it: a shell in tmux, typed keys, and the screen that results.

Screens that are worth a look are kept as text in tests/data/panes; what differs from run to run
(ids, times, directories) is replaced by a word.  MUSTER_UPDATE_PANES=1 writes them anew.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import unittest
import uuid

import muster_test
from muster_test import MUSTER, Process, PYTHON, SOURCE_DIR, wait_until

TMUX = shutil.which("tmux")
PANES = SOURCE_DIR / "tests/data/panes"

# Shows a progress bar on stderr, as tqdm does, and a line now and then; `hold-N` stops it there.
TRAIN = r"""
import os, pathlib, sys, time
rank = int(os.environ["RANK"])
here = pathlib.Path(".")
for step in range(1, 41):
    whole = step % 10 == 0
    if whole:  # in the order in which one look shows them
        print(f"step {step} loss {1 / step:.3f}", flush=True)
    sys.stderr.write(f"\r{step:3}/40 |{'#' * (step // 2):20}|" + ("\n" if whole else ""))
    sys.stderr.flush()
    (here / f"at-{rank}").write_text(str(step))
    while (here / f"hold-{step}").exists():
        time.sleep(0.01)
    time.sleep(0.005)
"""

SAVES = """trap 'echo saved > saved-$RANK; exit 0' TERM; : > up-$RANK; while :; do sleep 0.02; done"""
IGNORES = """trap '' TERM INT; : > up-$RANK; while :; do sleep 0.02; done"""


@unittest.skipUnless(TMUX, "no tmux")
class TerminalTest(muster_test.MusterTest):
    columns, rows = 90, 24

    def setUp(self):
        super().setUp()
        self.server = f"muster-{uuid.uuid4().hex[:12]}"
        (self.work_dir / "train.py").write_text(TRAIN, encoding="utf-8")
        bin_dir = self.directory / "bin"
        bin_dir.mkdir()
        (bin_dir / "muster").symlink_to(MUSTER)
        rc_file = self.directory / "bashrc"
        rc_file.write_text("PS1='$ '\n", encoding="utf-8")  # the environment's would not count
        environment = self.environment({"PATH": f"{bin_dir}:{os.environ['PATH']}",
                                        "TERM": "screen-256color", "TMUX": None,
                                        "LC_ALL": "C.UTF-8"})
        subprocess.run([TMUX, "-L", self.server, "-f", "/dev/null", "new-session", "-d", "-x",
                        str(self.columns), "-y", str(self.rows),
                        f"bash --noprofile --rcfile {rc_file} -i"], env=environment, cwd=self.work_dir,
                       check=True, timeout=20)
        self.addCleanup(self.tmux, "kill-server", check=False)
        wait_until(lambda: self.screen().startswith("$"), 20, "the shell's prompt")

    def tmux(self, *words, check=True):
        return subprocess.run([TMUX, "-L", self.server, *words], check=check, timeout=20,
                              capture_output=True, encoding="utf-8").stdout

    def screen(self):
        return self.tmux("capture-pane", "-p").rstrip("\n") + "\n"

    def type(self, text):
        self.tmux("send-keys", "-l", text)
        self.tmux("send-keys", "Enter")

    def press(self, key):
        self.tmux("send-keys", key)

    def await_screen(self, pattern, seconds=30):
        """The first screen in which the pattern is found."""
        found = re.compile(pattern, re.MULTILINE)
        last = ""

        def looked():
            nonlocal last
            last = self.screen()
            return found.search(last)
        try:
            wait_until(looked, seconds, f"{pattern!r} on the screen")
        except AssertionError as missing:
            raise AssertionError(f"{missing}; the screen:\n{last}") from None
        return last

    def hold(self, step):
        (self.work_dir / f"hold-{step}").touch()

    def release(self, step):
        (self.work_dir / f"hold-{step}").unlink()

    def await_step(self, step, ranks=1):
        def reached():
            return all((self.work_dir / f"at-{rank}").exists()
                       and (self.work_dir / f"at-{rank}").read_text() == str(step)
                       for rank in range(ranks))
        wait_until(reached, 60, f"step {step}")

    def await_files(self, name, ranks):
        wait_until(lambda: all((self.work_dir / f"{name}-{rank}").exists()
                               for rank in range(ranks)), 60, f"{name}-RANK")

    def start(self, ranks, *program, options=""):
        command = " ".join(["muster run", f"-n {ranks}", "--backend direct", options, "--",
                            *program]).replace("  ", " ")
        self.type(command)

    def start_training(self, ranks=1, options=""):
        self.start(ranks, PYTHON, "train.py", options=options)

    def start_shell(self, ranks, script):
        """Starts ranks that touch up-RANK; returns when all did, and the status line says so."""
        self.start(ranks, "sh", "-c", f'"{script}"'.replace("$", r"\$"))
        self.await_files("up", ranks)
        self.await_screen(rf"^{ranks}/{ranks} ranks? running")

    def run_directory(self):
        wait_until(self.run_directories, 30, "a run directory")
        return self.run_directories()[0]

    def run_json(self):
        return json.loads((self.run_directory() / "run.json").read_text(encoding="utf-8"))

    def training_states(self):
        events = (self.run_directory() / "events.jsonl").read_text(encoding="utf-8").splitlines()
        pids = [event["pid"] for event in map(json.loads, events)
                if event["event"] == "rank_started"]
        return [Process(pid).state for pid in pids]

    def normalised(self, screen):
        text = screen.replace(str(self.runs_dir), "RUNS").replace(str(self.work_dir), "WORK")
        text = re.sub(r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN", text)
        text = re.sub(r" on \S+, started directly", " on NODE, started directly", text)
        text = re.sub(r"\b\d+(\.\d+)? m?s\b", "TIME", text)
        return re.sub(r"^\[1\]\+(\s+)Stopped\s+", "[1]+ Stopped ", text, flags=re.MULTILINE)

    def assert_pane(self, name, screen):
        path = PANES / f"{name}.txt"
        text = self.normalised(screen)
        if os.environ.get("MUSTER_UPDATE_PANES"):
            path.write_text(text, encoding="utf-8")
        self.assertEqual(text, path.read_text(encoding="utf-8"), f"{path}")


# Wide enough that no path of a temporary directory breaks a line.
class Screens(TerminalTest):
    columns = 180

    def test_a_run_with_a_progress_bar(self):
        self.hold(15)
        self.start_training(2)
        self.await_step(15, 2)
        screen = self.await_screen(r"^2/2 ranks running.*15/40")
        self.assert_pane("progress", screen)
        self.release(15)
        self.assert_pane("end", self.await_screen(r"what the ranks wrote.*\n\$ ?$"))

    def test_ctrl_z_stops_the_ranks_and_fg_goes_on(self):
        self.hold(15)
        self.start_training(2)
        self.await_step(15, 2)
        self.await_screen(r"15/40")
        self.press("C-z")
        screen = self.await_screen(r"Stopped.*\n\$ ?$")
        self.assert_pane("ctrl-z", screen)
        self.assertEqual(self.training_states(), ["T", "T"])
        self.release(15)
        self.type("fg")
        self.await_screen(r"^muster: run .* succeeded")
        events = (self.run_directory() / "events.jsonl").read_text(encoding="utf-8")
        self.assertIn('"event":"suspended"', events)
        self.assertIn('"event":"resumed"', events)
        self.assertEqual(self.run_json()["exit_code"], 0)

    def test_ctrl_c_once_is_orderly(self):
        self.start_shell(2, SAVES)
        self.press("C-c")
        self.await_screen(r"exit code 130, origin: muster\n\$ ?$")
        self.tmux("clear-history")
        self.assertEqual([(self.work_dir / f"saved-{rank}").read_text() for rank in range(2)],
                         ["saved\n"] * 2)
        self.type("echo code $?")
        self.await_screen(r"^code 130$")

    def test_ctrl_c_twice_skips_the_grace(self):
        self.start_shell(2, IGNORES)
        self.press("C-c")
        self.await_screen(r"SIGKILL after 30\.0 s")
        self.press("C-c")
        self.assert_pane("ctrl-c-twice",
                         re.sub(r"(?m)^\$ muster run.*$", "$ muster run …",
                                self.await_screen(r"exit code 130, origin: muster\n\$ ?$")))


class Sizes(TerminalTest):
    def test_a_terminal_that_gets_narrower_and_wider_shows_one_status_line(self):
        self.hold(15)
        self.start_training()
        self.await_step(15)
        self.await_screen(r"^1/1 rank running.*15/40")
        for columns in (40, 120, 30, 64):
            self.tmux("resize-window", "-x", str(columns), "-y", str(self.rows))
            screen = self.await_screen(
                r"^1/1 rank running, [^\n]{%d,}$" % min(columns - 25, 30))
            self.assertEqual(len(re.findall(r"1/1 rank", screen)), 1, f"{columns}:\n{screen}")
        self.release(15)
        self.await_screen(r"succeeded")


class Jobs(TerminalTest):
    def test_a_run_in_the_background_leaves_the_prompt_alone(self):
        self.hold(15)
        self.start_training()
        self.await_step(15)
        self.await_screen(r"^1/1 rank running.*15/40")
        self.press("C-z")
        self.await_screen(r"Stopped(.*\n)+\$ ?$")
        self.type("bg")
        wait_until(lambda: self.training_states() != ["T"], 30, "the rank goes on")
        self.type("sleep 1.5; echo looked")  # longer than a tick of the status line
        screen = self.await_screen(r"^looked$")
        self.assertNotIn("rank running", screen.split("sleep 1.5")[1])
        self.type("fg")
        self.await_screen(r"^1/1 rank running")
        self.release(15)
        self.await_screen(r"succeeded")

    def test_a_stopped_run_that_is_told_to_end_ends_orderly(self):
        self.start_shell(1, SAVES)
        self.press("C-z")
        self.await_screen(r"Stopped(.*\n)+\$ ?$")
        self.type("kill %1; wait %1")
        self.await_screen(r"exit code 143, origin: muster")
        self.assertTrue((self.work_dir / "saved-0").exists())

    def test_a_stopped_run_that_is_cancelled_ends_orderly(self):
        self.start_shell(1, SAVES)
        self.press("C-z")
        self.await_screen(r"Stopped(.*\n)+\$ ?$")
        self.type("muster cancel latest")
        self.await_screen(r"was cancelled by muster cancel")
        self.assertTrue((self.work_dir / "saved-0").exists())

    def test_an_attachment_stands_still_and_goes_on_alone(self):
        self.hold(15)
        self.start_training(options="--detach")
        self.await_step(15)
        self.type("muster attach --from-start latest")
        self.await_screen(r"^1/1 rank running.*15/40")
        self.press("C-z")
        screen = self.await_screen(r"Stopped(.*\n)+\$ ?$")
        self.assertNotIn("1/1 rank", screen)
        self.assertNotEqual(self.training_states(), ["T"])
        self.release(15)
        self.type("fg")
        self.await_screen(r"succeeded: 1 rank")

    def test_a_terminal_that_is_closed_ends_the_run_orderly(self):
        self.start_shell(2, SAVES)
        self.tmux("kill-server")
        wait_until(lambda: self.run_json()["status"] == "cancelled", 30, "the end of the run")
        self.assertEqual(self.run_json()["exit_code"], 128 + signal.SIGHUP)
        self.await_files("saved", 2)
        self.assert_nothing_left()

    def test_input_for_the_shell_does_not_stop_a_run_that_reads_the_terminal(self):
        self.start(1, "sh", "-c", r'"read line; echo got \$line"', options="--stdin rank0")
        self.await_screen(r"^1/1 rank running")
        self.press("C-z")
        self.await_screen(r"Stopped(.*\n)+\$ ?$")
        self.type("bg")
        self.type("echo for the shell")
        self.await_screen(r"^for the shell$")
        self.type("fg")
        self.await_screen(r"^1/1 rank running")
        self.type("for the rank")
        self.await_screen(r"^got for the rank$")


if __name__ == "__main__":
    muster_test.main()
