"""What a person sees of a run: which ranks, with which prefix, on a pipe and on a terminal; and
that looking changes nothing of the run."""

import errno
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading

import muster_test
from muster_test import MPIRUN, MUSTER, MusterTest, PYTHON, Result, SANDBOX

BACKENDS = ["direct"] + (["mpi"] if MPIRUN else [])
COLOR = re.compile(rb"\x1b\[[0-9;:]*m")
ERASE_LINE = b"\r\x1b[K"

# Both streams of each rank, in an order that the stored files cannot mix up.
SPEAK = 'echo "out $RANK"; echo "err $RANK" >&2'


# Goes on when both ranks are there, and a moment later, so that the status line has said so.
TOGETHER = ('f=../together-$MUSTER_RUN_ID; : > $f-$RANK; '
            'until [ -e $f-0 ] && [ -e $f-1 ]; do sleep 0.02; done; sleep 0.4; ')


class Terminal:
    """A muster on a pseudo-terminal of its own, as its controlling terminal.  With `reads` false
    nobody takes what it writes."""

    def __init__(self, test, args, env=None, reads=True):
        self.test = test
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.known_runs = set(test.run_directories())

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        try:
            self.process = subprocess.Popen(
                [*SANDBOX, MUSTER, *map(str, args)], stdin=slave, stdout=slave, stderr=slave,
                env=test.environment({"TERM": "xterm", **(env or {})}), cwd=test.work_dir,
                start_new_session=True, preexec_fn=take_terminal)
        finally:
            os.close(slave)
        test.addCleanup(self.close)
        self.screen = bytearray()
        self.reader = threading.Thread(target=self.read, daemon=True)
        if reads:
            self.reader.start()

    def read(self):
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError as error:  # EIO: the last writer has closed it
                assert error.errno in (errno.EIO, errno.EBADF), error
                return
            if not data:
                return
            self.screen += data

    def type(self, data):
        os.write(self.master, data)

    def wait_for(self, data, seconds=30):
        muster_test.wait_until(lambda: data in self.screen, seconds, f"{data!r} on the terminal")

    def wait(self, timeout=60):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"muster did not end within {timeout} s\n"
                                 f"{bytes(self.screen[-4000:])!r}") from None
        if self.reader.ident is not None:
            self.reader.join(30)
        new = sorted(set(self.test.run_directories()) - self.known_runs)
        return Result(code, bytes(self.screen), b"", new[0] if new else None)

    def hang_up(self):
        """As when its window is closed; only without a reader, which would keep it open."""
        os.close(self.master)
        self.master = -1

    def close(self):
        muster_test.end(self.process)
        if self.reader.ident is not None:
            self.reader.join(5)
        if self.master >= 0:
            self.hang_up()


class ConsoleTest(MusterTest):
    def speak(self, mode, count=3, backend="direct"):
        options = [] if mode is None else ["--console", mode]
        result = self.run_muster(["run", "-n", count, "--backend", backend, *options, "--", "sh",
                                  "-c", SPEAK])
        self.assert_code(result, 0)
        for rank in range(count):  # whatever is shown, all is stored
            self.assertEqual(result.rank_bytes(rank), f"out {rank}\n".encode())
            self.assertEqual(result.rank_bytes(rank, "stderr.log"), f"err {rank}\n".encode())
        errors = [line for line in result.stderr.splitlines() if line.startswith("[")]
        return sorted(result.stdout.splitlines()), sorted(errors)

    def shown(self, script, *options, env=None):
        """What one rank's printf of `script` looks like on a pipe, as bytes."""
        result = self.run_muster(["run", *options, "--", "printf", script], env=env)
        self.assert_code(result, 0)
        return result.stdout_bytes, result


class Modes(ConsoleTest):
    def test_rank0_is_the_default(self):
        for backend in BACKENDS:
            for mode in (None, "rank0"):
                with self.subTest(backend=backend, mode=mode):
                    self.assertEqual(self.speak(mode, backend=backend),
                                     (["[0] out 0"], ["[0] err 0"]))

    def test_all(self):
        self.assertEqual(self.speak("all"), ([f"[{rank}] out {rank}" for rank in range(3)],
                                             [f"[{rank}] err {rank}" for rank in range(3)]))

    def test_errors(self):
        self.assertEqual(self.speak("errors"), ([], [f"[{rank}] err {rank}" for rank in range(3)]))

    def test_none(self):
        self.assertEqual(self.speak("none"), ([], []))

    def test_one_process_needs_no_prefix(self):
        result = self.run_muster(["run", "--", "sh", "-c", SPEAK])
        self.assertEqual(result.stdout_bytes, b"out 0\n")
        self.assertIn("err 0", result.stderr.splitlines())

    def test_lines_of_ranks_are_never_mixed(self):
        result = self.run_muster(["run", "-n", "4", "--backend", "direct", "--console", "all", "--",
                                  "sh", "-c", 'for i in $(seq 500); do printf "%s-" $RANK $RANK; '
                                              'echo "$RANK $i"; done'])
        self.assert_code(result, 0)
        shown = result.stdout.splitlines()
        for rank in range(4):
            self.assertEqual([line for line in shown if line.startswith(f"[{rank}] ")],
                             [f"[{rank}] {rank}-{rank}-{rank} {i}" for i in range(1, 501)])
        self.assertEqual(len(shown), 2000)

    def test_all_output_is_shown_before_the_report(self):
        result = self.run_muster(["run", "--", "sh", "-c", "seq 50000 >&2; exit 3"])
        self.assert_code(result, 3)
        lines = result.stderr.splitlines()
        last = lines.index("50000")
        self.assertEqual(lines[last - 49_999:last + 1], [str(i) for i in range(1, 50_001)])
        self.assertTrue(any("exit code 3" in line for line in lines[last:]))


class Bytes(ConsoleTest):
    def test_a_progress_bar_on_a_pipe_is_its_last_state(self):
        script = r"epoch 1\r 10%%\r 50%%\r100%%\nepoch 2\r\n"
        shown, result = self.shown(script)
        self.assertEqual(shown, b"100%\nepoch 2\n")
        self.assertEqual(result.rank_bytes(0), b"epoch 1\r 10%\r 50%\r100%\nepoch 2\r\n")

    def test_control_sequences_are_made_harmless(self):
        script = (r"\033]0;owned\007title\n" r"\033[2J\033[Hclear\n" r"a\bb\tc\n" r"\233\061m\n"
                  r"\302\233raw\n")
        shown, result = self.shown(script)
        for byte in set(shown):
            self.assertTrue(byte in b"\n\t" or 0x20 <= byte < 0x7f, (byte, shown))
        for words in (b"^[]0;owned^Gtitle\n", b"^[[2J^[[Hclear\n", b"a^Hb\tc\n"):
            self.assertIn(words, shown)
        self.assertIn(b"\x1b]0;owned\x07title\n\x1b[2J", result.rank_bytes(0))

    def test_colours_and_letters_pass(self):
        script = r"\033[1;31mred\033[0m \303\251\342\202\254\n"
        shown, _ = self.shown(script)
        self.assertEqual(shown, b"\x1b[1;31mred\x1b[0m \xc3\xa9\xe2\x82\xac\n")

    def test_a_colour_does_not_leak_into_the_next_line(self):
        shown, _ = self.shown(r"\033[32mgreen\nplain\n")
        self.assertEqual(shown, b"\x1b[32mgreen\x1b[0m\nplain\n")

    def test_no_color_is_honoured(self):
        shown, result = self.shown(r"\033[1;31mred\033[0m\n", env={"NO_COLOR": "1"})
        self.assertEqual(shown, b"red\n")
        self.assertEqual(result.rank_bytes(0), b"\x1b[1;31mred\x1b[0m\n")  # the file is untouched

    def test_a_last_line_without_newline_is_shown_and_stored_as_it_is(self):
        shown, result = self.shown("no newline")
        self.assertEqual(shown, b"no newline\n")
        self.assertEqual(result.rank_bytes(0), b"no newline")

    def test_a_line_without_end_is_shown_in_pieces(self):
        result = self.run_muster(["run", "--", "sh", "-c",
                                  "head -c 8000000 /dev/zero | tr '\\0' x"])
        self.assert_code(result, 0)
        pieces = result.stdout.splitlines()
        self.assertGreater(len(pieces), 1)
        for piece in pieces[:-1]:
            self.assertRegex(piece, r"^x+ …$")
        self.assertEqual(result.stdout.count("x"), 8_000_000)
        self.assertEqual(result.rank_bytes(0), b"x" * 8_000_000)


class StandardInput(ConsoleTest):
    CAT = ["sh", "-c", "cat; echo rank $RANK is at the end"]

    def run_cat(self, data, *options, backend="direct"):
        file = self.directory / "input"
        file.write_bytes(data)
        prefix = ["sh", "-c", f'cat "{file}" | "$@"', "sh"]
        result = self.run_muster(["run", "-n", "2", "--backend", backend, *options, "--",
                                  *self.CAT], prefix=prefix)
        self.assert_code(result, 0)
        return result

    def test_rank_0_reads_a_pipe_to_its_end(self):
        data = bytes(range(256)) * 4096
        for backend in BACKENDS:
            with self.subTest(backend):
                result = self.run_cat(data, "--stdin", "rank0", backend=backend)
                self.assertEqual(result.rank_bytes(0), data + b"rank 0 is at the end\n")
                self.assertEqual(result.rank_bytes(1), b"rank 1 is at the end\n")

    def test_nobody_reads_it_unless_asked(self):
        result = self.run_cat(b"unread\n")
        for rank in range(2):
            self.assertEqual(result.rank_bytes(rank), f"rank {rank} is at the end\n".encode())

    def test_rank_0_reads_a_terminal(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                terminal = Terminal(self, ["run", "-n", "2", "--backend", backend, "--stdin",
                                           "rank0", "--", "sh", "-c",
                                           '[ $RANK = 0 ] && echo ready; cat; echo end'])
                terminal.wait_for(b"ready")
                terminal.type(b"typed line\n")
                terminal.wait_for(b"[0] typed line")
                terminal.type(b"\x04")
                result = terminal.wait()
                self.assert_code(result, 0)
                self.assertEqual(result.rank_bytes(0), b"ready\ntyped line\nend\n")
                self.assertEqual(result.rank_bytes(1), b"end\n")

    def test_a_terminal_that_nobody_types_into_does_not_keep_the_run(self):
        terminal = Terminal(self, ["run", "--stdin", "rank0", "--", "true"])
        self.assert_code(terminal.wait(), 0)

    def test_a_rank_that_does_not_read_does_not_keep_the_run(self):
        terminal = Terminal(self, ["run", "--stdin", "rank0", "--", "sh", "-c",
                                   "echo ready; sleep 1; exit 4"])
        terminal.wait_for(b"ready")
        terminal.type(b"nobody reads this\n" * 100)
        self.assert_code(terminal.wait(), 4)


class OnATerminal(ConsoleTest):
    def run_on_terminal(self, args, env=None):
        terminal = Terminal(self, ["run", *args], env)
        result = terminal.wait()
        self.assert_nothing_left()
        return result

    def test_the_status_line_tells_and_is_gone_at_the_end(self):
        result = self.run_on_terminal(["-n", "2", "--backend", "direct", "--", "sh", "-c",
                                       TOGETHER + "echo hello; sleep 0.3"])
        self.assert_code(result, 0)
        screen = result.stdout_bytes
        self.assertIn(b"2/2 ranks running", screen)
        self.assertIn(ERASE_LINE + b"[0] hello\r\n", screen)  # it makes room for a line
        end = screen[screen.rindex(b"2/2 ranks running"):]
        self.assertIn(ERASE_LINE, end)
        self.assertIn(b"succeeded", end)

    def test_a_pipe_gets_no_status_line(self):
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "sleep", "0.5"],
                                 env={"TERM": "xterm"})
        self.assertNotIn("ranks running", result.stderr)
        self.assertNotIn("\x1b", result.stderr)
        self.assertNotIn("\r", result.stderr)

    def test_a_dumb_terminal_gets_no_status_line(self):
        for term in ("dumb", None):
            with self.subTest(term):
                result = self.run_on_terminal(["-n", "2", "--backend", "direct", "--", "sleep",
                                               "0.5"], {"TERM": term})
                self.assert_code(result, 0)
                self.assertNotIn(b"\x1b", result.stdout_bytes)

    def test_no_color_leaves_no_colour(self):
        command = ["-n", "2", "--backend", "direct", "--", "sh", "-c",
                   TOGETHER + r"printf '\033[31mred\033[0m\n'"]
        with_color = self.run_on_terminal(command).stdout_bytes
        without = self.run_on_terminal(command, {"NO_COLOR": "1"}).stdout_bytes
        self.assertRegex(with_color, COLOR)
        self.assertNotRegex(without, COLOR)
        self.assertIn(b"[0] red\r\n", without)
        self.assertIn(b"2/2 ranks running", without)  # no colour, but still a terminal

    def test_a_progress_bar_lives_on_the_status_line(self):
        result = self.run_on_terminal(["-n", "2", "--backend", "direct", "--", "sh", "-c",
                                       r"printf 'at 10%%\r'; sleep 0.4; printf 'at 90%%\r'; "
                                       r"sleep 0.4; printf 'done\n'"])
        self.assert_code(result, 0)
        screen = result.stdout_bytes
        for state in (b"[0] at 10%", b"[0] at 90%"):
            self.assertIn(state, screen)
            self.assertNotIn(state + b"\r\n", screen)  # overprinted, not a line of its own
        self.assertIn(b"[0] done\r\n", screen)
        self.assertEqual(result.rank_bytes(0), b"at 10%\rat 90%\rdone\n")

    def test_ctrl_c_ends_the_run_orderly(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                terminal = Terminal(self, ["run", "-n", "2", "--backend", backend, "--", "sh", "-c",
                                           "trap 'echo saved; exit 0' TERM; echo ready; "
                                           "while :; do sleep 0.05; done"])
                terminal.wait_for(b"[0] ready")
                terminal.type(b"\x03")
                result = terminal.wait()
                self.assert_code(result, 130)
                self.assertEqual(result.rank_bytes(0), b"ready\nsaved\n")
                self.assertEqual(result.run_json["status"], "cancelled")
                self.assert_nothing_left()

    def test_a_terminal_that_goes_away_ends_the_run_orderly(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                marker = self.directory / f"ready-{backend}"
                terminal = Terminal(self, ["run", "-n", "2", "--backend", backend, "--", "sh", "-c",
                                           "trap 'echo saved; exit 0' TERM; "
                                           f"echo > {marker}-$RANK; "
                                           "while :; do sleep 0.05; done"], reads=False)
                for rank in range(2):
                    path = self.directory / f"ready-{backend}-{rank}"
                    muster_test.wait_until(path.exists, 30, f"the start of rank {rank}")
                terminal.hang_up()
                result = terminal.wait()
                self.assert_code(result, 128 + signal.SIGHUP)
                for rank in range(2):
                    self.assertEqual(result.rank_bytes(rank), b"saved\n")
                self.assertEqual(result.run_json["status"], "cancelled")
                self.assert_nothing_left()

    def test_a_terminal_that_blocks_delays_neither_the_ranks_nor_the_end(self):
        for backend in BACKENDS:
            with self.subTest(backend):
                # 20 MB on a terminal that nobody reads: only the console's patience is lost.
                terminal = Terminal(self, ["run", "-n", "2", "--backend", backend, "--console",
                                           "all", "--", "seq", "2500000"], reads=False)
                result = terminal.wait(120)
                self.assert_code(result, 0)
                for rank in range(2):
                    stored = result.rank_bytes(rank)
                    self.assertEqual(stored.count(b"\n"), 2_500_000)
                    self.assertTrue(stored.endswith(b"\n2500000\n"))
                self.assertEqual(result.run_json["gaps"], [])
                self.assertEqual(result.run_json["status"], "succeeded")
                self.assert_nothing_left()


class PhaseLines(ConsoleTest):
    def test_a_pipe_gets_plain_phase_lines_on_stderr(self):
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "echo", "hello"])
        first, *_, last = result.stderr.splitlines()
        self.assertRegex(first, r"^muster: 2 ranks on \S+, started directly, run directory ")
        self.assertIn(str(result.run_directory), first)
        self.assertRegex(last, r"what the ranks wrote: ")
        self.assertEqual(result.stdout_bytes, b"[0] hello\n")  # stdout is the training's alone

    def test_python_prints_arrive_while_it_runs(self):
        script = self.work_dir / "train.py"
        script.write_text("import time\nprint('step 1')\ntime.sleep(600)\n", encoding="utf-8")
        running = self.start_muster(["run", "--", PYTHON, "train.py"])
        muster_test.wait_until(lambda: b"step 1\n" in running.output(), 30, "the first print")
        running.send(signal.SIGTERM)
        self.assert_code(running.wait(), 143)


if __name__ == "__main__":
    muster_test.main()
