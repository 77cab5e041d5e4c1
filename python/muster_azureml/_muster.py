"""The `muster` program: where it is, and its commands as calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from muster_azureml._tell import tell
from muster_azureml.exceptions import UserErrorException

# Names the program when it is not on PATH.  It is ours, and not handed on: `muster` takes every
# MUSTER_ variable for an option of its own.
PROGRAM_VARIABLE = "MUSTER_EXECUTABLE"


def find_program() -> str:
    """$MUSTER_EXECUTABLE, `muster` on PATH, or what was built in the checkout this lies in."""
    named = os.environ.get(PROGRAM_VARIABLE)
    if named:
        if not shutil.which(named):
            raise UserErrorException(f"{PROGRAM_VARIABLE} is {named}, and that is no program that "
                                     "can be run: name the program muster in it, or unset it")
        return named
    found = shutil.which("muster")
    if found:
        return found
    built = Path(__file__).resolve().parents[2] / "build/release/bin/muster"
    if built.exists():
        return str(built)
    raise UserErrorException(
        "cannot find the program muster: it is not on PATH; add its directory to PATH, or name it "
        f"in {PROGRAM_VARIABLE}")


class Answer(NamedTuple):
    """What a `muster` that has ended said."""

    code: int
    stdout: str
    stderr: str


class Muster:
    """Calls `muster` for one directory of runs."""

    def __init__(self, runs_dir: Path):
        self.runs_dir = runs_dir
        self.program = find_program()

    def environment(self, changes: Optional[Dict[str, str]] = None) -> Dict[str, str]:
        variables = {name: value for name, value in os.environ.items() if name != PROGRAM_VARIABLE}
        # Not as flags: then the first line of a run would be about flags that nobody wrote.
        variables["MUSTER_RUNS_DIR"] = str(self.runs_dir)
        variables.pop("MUSTER_JSON", None)
        variables.update(changes or {})
        return variables

    def call(self, *words: str, changes: Optional[Dict[str, str]] = None) -> Answer:
        """Runs a short command to its end."""
        done = subprocess.run([self.program, *words], env=self.environment(changes), check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        return Answer(done.returncode, done.stdout.decode("utf-8", "replace"),
                      done.stderr.decode("utf-8", "replace"))

    def start(self, run_id: str, words: List[str], changes: Dict[str, str],
              on_directory: Callable[[], None]) -> Answer:
        """`muster run --detach`: back when the ranks run, or when they will not.

        What it says meanwhile (downloads, packages) is passed on line by line, but for an error,
        which is the caller's to raise, and for how to go on in a shell.  `on_directory` is called
        once, when the run directory is there.  An exception meanwhile (Ctrl-C) ends the run.
        """
        process = subprocess.Popen([self.program, "run", "--detach", *words, "--run-id", run_id],
                                   env=self.environment(changes), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said: List[str] = []
        teller = threading.Thread(target=_pass_on, args=(process.stderr, sys.stderr, said,
                                                            _is_for_python))
        teller.start()
        directory = self.runs_dir / run_id
        told = False
        try:
            while True:
                ended = _ends_within(process, 0.05)
                if not told and directory.is_dir():
                    told = True
                    on_directory()
                if ended:
                    break
            teller.join()
        except BaseException:
            self._give_up(process, run_id)
            raise
        stdout = process.stdout.read().decode("utf-8", "replace")  # a line: it fits into the pipe
        process.stdout.close()
        process.stderr.close()
        return Answer(process.returncode, stdout, "".join(said))

    def _give_up(self, process, run_id: str) -> None:
        """Ends a run that nobody would know of: its launcher hears signals until the ranks run."""
        tell(f"interrupted: run {run_id} is ended")
        if not _ends_within(process, 0.2):  # a terminal's Ctrl-C has reached it, too
            process.terminate()
            if not _ends_within(process, 60):
                tell(f"run {run_id} has not ended yet: muster cancel {run_id}")
        # The ranks had started before it heard the signal.
        if process.returncode == 0 and (self.runs_dir / run_id).is_dir():
            self.call("cancel", "--no-wait", run_id)

    def status(self, run_id: str) -> Dict[str, Any]:
        answer = self.call("status", "--json", run_id)
        if answer.code != 0:
            raise UserErrorException(answer.stderr.strip())
        return json.loads(answer.stdout)

    def runs(self) -> List[Dict[str, Any]]:
        """Every run, newest first."""
        if not self.runs_dir.is_dir():
            return []
        answer = self.call("runs", "--json")
        if answer.code != 0:
            raise UserErrorException(answer.stderr.strip())
        return json.loads(answer.stdout)

    def cancel(self, run_id: str) -> None:
        answer = self.call("cancel", "--no-wait", run_id)
        if answer.code != 0:
            raise UserErrorException(answer.stderr.strip())

    def datastores(self, changes: Dict[str, str]) -> Dict[str, Any]:
        """What datastores.yaml says: file, default, datastores."""
        answer = self.call("datastores", "--json", changes=changes)
        if answer.code != 0:
            raise UserErrorException(answer.stderr.strip())
        return json.loads(answer.stdout)

    def follow(self, run_id: str, rank: int) -> None:
        """Prints what a rank has written and writes, until the run has ended.

        Through sys.stdout, which in a notebook is not this process's descriptor 1.
        """
        process = subprocess.Popen(
            [self.program, "logs", run_id, "--rank", str(rank), "--follow", "--no-prefix"],
            env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        try:
            _pass_on(process.stdout, sys.stdout, [])
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
            process.stdout.close()


def _ends_within(process, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _is_for_python(lines: List[str]) -> bool:
    """Whether the last of the lines so far says something that an exception will not, or a shell."""
    last = lines[-1]
    return not (any(line.startswith("muster: error:") for line in lines)
                or last.startswith("  muster ") or "goes on in the background" in last)


def _pass_on(source, target, kept: List[str],
             wanted: Callable[[List[str]], bool] = lambda lines: True) -> None:
    for line in iter(source.readline, b""):
        kept.append(line.decode("utf-8", "replace"))
        if wanted(kept):
            _write(target, kept[-1])


def _write(target, text: str) -> None:
    """Also where the target's encoding has no letter for it (PYTHONIOENCODING=ascii)."""
    try:
        target.write(text)
    except UnicodeEncodeError:
        encoding = target.encoding or "ascii"
        target.write(text.encode(encoding, "replace").decode(encoding))
    target.flush()
