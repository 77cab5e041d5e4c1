"""Shell completion as the shells have it, and the man page as man reads it."""

import os
import pty
import select
import shutil
import subprocess
import time
import unittest

import muster_test
from muster_test import BIN_DIR, MUSTER, MusterTest


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"no {program} on PATH")


class CompletionTest(MusterTest):
    def setUp(self):
        super().setUp()
        for name in ("run.yaml", "notes.txt", "machine.xml"):
            (self.work_dir / name).write_text("", encoding="utf-8")
        (self.work_dir / "configs").mkdir()

    def shell(self, *argv):
        environment = self.environment({"PATH": f"{BIN_DIR}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"})
        ended = subprocess.run(argv, cwd=self.work_dir, env=environment, timeout=60, check=False,
                               capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), ended.stdout)
        return ended.stdout


class Bash(CompletionTest):
    def candidates(self, line, after=""):
        # As bash splits it: "=" is a word of its own.
        words = line.replace("=", " = ").split(" ")
        quoted = " ".join(f"'{word}'" for word in words)
        return self.shell("bash", "--norc", "-c", f"source <(muster completion bash)\n{after}\n"
                          f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n_muster\n"
                          "printf '%s\\n' \"${COMPREPLY[@]}\"").split()

    def test_commands_options_and_choices(self):
        self.assertEqual(self.candidates("muster va"), ["validate"])
        self.assertEqual(self.candidates("muster run --cons"), ["--console"])
        self.assertEqual(self.candidates("muster run --console "),
                         ["rank0", "all", "none", "errors"])
        self.assertEqual(self.candidates("muster run --console=a"), ["all"])

    def test_files(self):
        self.assertEqual(sorted(self.candidates("muster run ")), ["configs", "run.yaml"])
        self.assertEqual(self.candidates("muster plan --topology=ma"), ["machine.xml"])
        self.assertEqual(self.candidates("muster run --runs-dir co"), ["configs"])

    def test_a_program_after_dashes_is_completed_as_one(self):
        self.assertEqual(self.candidates("muster run -n 2 -- py"), [])
        stub = "_command_offset() { COMPREPLY=(\"from $1\"); }"
        self.assertEqual(self.candidates("muster run -n 2 -- py", stub), ["from", "5"])


@needs("fish")
class Fish(CompletionTest):
    def candidates(self, line):
        lines = self.shell("fish", "--no-config", "-c", "muster completion fish | source\n"
                           f"complete -C '{line}'").splitlines()
        return [each.split("\t")[0] for each in lines]

    def test_commands_options_choices_and_files(self):
        self.assertEqual(self.candidates("muster va"), ["validate"])
        self.assertIn("--console", self.candidates("muster run --cons"))
        self.assertEqual(self.candidates("muster run --console "),
                         ["rank0", "all", "none", "errors"])
        self.assertEqual(self.candidates("muster run --console=a"), ["--console=all"])
        self.assertEqual(sorted(self.candidates("muster run ")), ["configs/", "run.yaml"])
        self.assertEqual(self.candidates("muster plan --topology=ma"), ["--topology=machine.xml"])
        self.assertIn("notes.txt", self.candidates("muster run -n 2 -- cat no"))


@needs("zsh")
class Zsh(CompletionTest):
    """An interactive zsh at a terminal: its completion works nowhere else."""

    PREPARE = ("PS1=; show() { print -r -- \"<$BUFFER>\" }; zle -N show; bindkey '^T' show; "
               "autoload -U compinit && compinit -u -D && source <(muster completion zsh) && "
               "print rea''dy\n")

    def setUp(self):
        super().setUp()
        pid, self.terminal = pty.fork()
        if pid == 0:
            os.chdir(self.work_dir)
            environment = self.environment({"PATH": f"{BIN_DIR}:/usr/bin:/bin", "TERM": "vt100",
                                            "LC_ALL": "C.UTF-8"})
            os.execvpe("zsh", ["zsh", "-f", "-i"], environment)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.close, self.terminal)  # its hang-up ends the shell
        os.write(self.terminal, self.PREPARE.encode())
        self.read_until("ready")

    def read_until(self, wanted, seconds=30):
        seen, deadline = "", time.monotonic() + seconds
        while wanted not in seen:
            self.assertLess(time.monotonic(), deadline, f"no {wanted!r} in {seen!r}")
            if select.select([self.terminal], [], [], 0.1)[0]:
                seen += os.read(self.terminal, 65536).decode("utf-8", "replace")
        return seen

    def completed(self, line):
        """The line after Tab."""
        os.write(self.terminal, f"\x15{line}\t\x14".encode())  # ^U, the words, Tab, ^T
        seen = self.read_until(">")
        return seen[seen.rindex("<") + 1:seen.rindex(">")]

    def test_commands_options_choices_and_files(self):
        for line, wanted in (("muster va", "muster validate "),
                             ("muster run --cons", "muster run --console "),
                             ("muster run --console er", "muster run --console errors "),
                             ("muster run --console=a", "muster run --console=all "),
                             ("muster run ru", "muster run run.yaml "),
                             ("muster run --runs-dir co", "muster run --runs-dir configs/"),
                             ("muster plan --topology=ma", "muster plan --topology=machine.xml "),
                             ("muster run -n 2 -- cat no", "muster run -n 2 -- cat notes.txt ")):
            with self.subTest(line):
                self.assertEqual(self.completed(line), wanted)


class ManPage(CompletionTest):
    @needs("groff")
    def test_groff_finds_nothing_wrong(self):
        page = self.work_dir / "muster.1"
        page.write_text(self.shell(MUSTER, "help", "--man"), encoding="utf-8")
        text = self.shell("groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-k", page)
        for words in ("NAME", "muster run", "--process-count-per-node", "MUSTER_RUNS_DIR",
                      "EXIT STATUS"):
            self.assertIn(words, text)

    @needs("mandoc")
    def test_mandoc_finds_nothing_wrong(self):
        page = self.work_dir / "muster.1"
        page.write_text(self.shell(MUSTER, "help", "--man"), encoding="utf-8")
        self.shell("mandoc", "-Tlint", "-Werror", page)


if __name__ == "__main__":
    muster_test.main()
