"""What end-to-end tests of the built programs share.

A test file ends in `muster_test.main()`.  Each test has a directory of its own with its run and
runtime directories; it is removed when the test passes, and kept, with its path printed, when not.
Every process of a test carries TEST_MARK in its environment, through fork, setsid and exec, so what
is left behind is found however it left its parent; it is also ended, by its pid.  (No name with
MUSTER_ in front would do: Muster takes those for another run's and keeps them from ranks.)
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
from pathlib import Path

SOURCE_DIR = Path(__file__).resolve().parents[2]
BIN_DIR = Path(os.environ.get("MUSTER_BIN_DIR", SOURCE_DIR / "build/release/bin"))
PROGRAMS_DIR = Path(os.environ.get("MUSTER_TEST_PROGRAMS_DIR",
                                   SOURCE_DIR / "build/release/tests/programs"))
MUSTER = str(BIN_DIR / "muster")
PYTHON = "/usr/bin/python3"
# What goes before every muster that a test starts: scripts/soak --seccomp has under_seccomp there.
SANDBOX = shlex.split(os.environ.get("MUSTER_TEST_PREFIX", ""))
ROUNDS = int(os.environ.get("MUSTER_ROUNDS", "5"))
MPIRUN = shutil.which("mpirun")
SKIPPED = 77

# Of a job around the tests: a test that wants one of these sets it.
FOREIGN = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_", "PBS_", "LSB_", "MUSTER_", "LOCAL_",
           "TORCHELASTIC_", "AZUREML_", "AZ_BATCH")
FOREIGN_NAMES = ("RANK", "WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")

needs_mpirun = unittest.skipUnless(MPIRUN, "no mpirun on PATH")
needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root")


def is_denied(call):
    """Whether the sandbox that MUSTER_TEST_PREFIX puts around muster denies that system call."""
    return any(call in word.split(",") for word in SANDBOX)


def program(name):
    """Path of a program of tests/programs; skips the test when it was not built."""
    path = PROGRAMS_DIR / name
    if not path.exists():
        raise unittest.SkipTest(f"{path} is not built (MPI programs need mpicc)")
    return str(path)


def wait_until(condition, seconds=5.0, what="the condition"):
    """The first true value of condition(); fails when there is none within that time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(0.01)


def is_alive(pid):
    """Whether it runs; a zombie does not."""
    try:
        return Process(pid).state not in "ZX"
    except OSError:
        return False


class Process:
    """A line of the process table, read once; OSError when there is no such process."""

    def __init__(self, pid):
        self.pid = int(pid)
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = stat[stat.rindex(")") + 2:].split()
        self.state = fields[0]
        self.parent = int(fields[1])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0")
        self.argv = [os.fsdecode(word) for word in command.split(b"\0")]

    def __repr__(self):
        return f"{self.pid} ({self.state}, parent {self.parent}): {' '.join(self.argv)[:120]}"


def all_processes():
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                yield Process(name)
            except OSError:
                pass


def carries(pid, variable, value):
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return os.fsencode(f"{variable}={value}") in environment.split(b"\0")


def descendants_of(pid):
    """All processes below `pid`, zombies left out."""
    found = {}
    processes = list(all_processes())
    parents = {pid}
    while parents:
        children = [each for each in processes if each.parent in parents and each.pid not in found]
        found.update((each.pid, each) for each in children)
        parents = {each.pid for each in children}
    return [each for each in found.values() if each.state not in "ZX"]


class Result:
    """A `muster` that has ended."""

    def __init__(self, code, stdout_bytes, stderr_bytes, run_directory):
        self.code = code  # as subprocess gives it: negative when a signal ended muster itself
        self.stdout_bytes = stdout_bytes
        self.stderr_bytes = stderr_bytes
        self.found_run_directory = run_directory  # None when none was made

    @property
    def run_directory(self):
        if self.found_run_directory is None:
            raise AssertionError(f"no run directory was made: {self}")
        return self.found_run_directory

    @property
    def stdout(self):
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self):
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def run_json(self):
        return json.loads((self.run_directory / "run.json").read_text(encoding="utf-8"))

    def rank_file(self, rank, name="stdout.log", attempt=0):
        return self.run_directory / f"ranks/{rank:05}/attempt-{attempt}/{name}"

    def rank_bytes(self, rank, name="stdout.log", attempt=0):
        return self.rank_file(rank, name, attempt).read_bytes()

    def __repr__(self):
        return (f"code {self.code}, run directory {self.found_run_directory}\n"
                f"--- stdout\n{self.stdout[-4000:]}\n--- stderr\n{self.stderr[-4000:]}")


class Running:
    """A `muster` that runs; its output goes to files, so that nothing blocks on a reader."""

    def __init__(self, test, process, stdout_file, stderr_file, known_runs):
        self.test = test
        self.process = process
        self.stdout_file = stdout_file
        self.stderr_file = stderr_file
        self.known_runs = known_runs

    @property
    def pid(self):
        return self.process.pid

    @property
    def run_directory(self):
        """The run directory that appeared since the start; None when there is none yet."""
        new = sorted(set(self.test.run_directories()) - self.known_runs)
        return new[0] if new else None

    def output(self):
        return self.stdout_file.read_bytes() + self.stderr_file.read_bytes()

    def processes(self):
        """Everything below the launcher now."""
        return descendants_of(self.pid)

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=60.0):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            left = "\n".join(map(repr, self.test.processes()))
            raise AssertionError(
                f"muster (pid {self.pid}) did not end within {timeout} s\nprocesses:\n{left}\n"
                f"--- output\n{self.output()[-4000:].decode('utf-8', 'replace')}") from None
        return Result(code, self.stdout_file.read_bytes(), self.stderr_file.read_bytes(),
                      self.run_directory)


class MusterTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.mark = uuid.uuid4().hex
        self.directory = Path(tempfile.mkdtemp(prefix="muster-test-"))
        self.runs_dir = self.directory / "runs"
        self.runtime_dir = self.directory / "rt"
        self.work_dir = self.directory / "work"
        self.runtime_dir.mkdir(mode=0o700)
        self.work_dir.mkdir()
        self.started = 0

    def run(self, result=None):
        # Not tearDown: only here the test's own verdict is known, subtests included.
        result = result or self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        super().run(result)
        passed = len(result.failures) + len(result.errors) == before
        if hasattr(self, "directory"):
            self.clean_up(passed)
        return result

    def clean_up(self, passed):
        deadline = time.monotonic() + 5
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                try:
                    os.kill(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)
        if passed:
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            print(f"{self.id()}: kept {self.directory}", file=sys.stderr, flush=True)

    def environment(self, changes=None):
        """The caller's environment without another job's variables, with this test's; a change to
        None removes a variable."""
        variables = {name: value for name, value in os.environ.items()
                     if not name.startswith(FOREIGN) and name not in FOREIGN_NAMES}
        variables.update(TEST_MARK=self.mark, MUSTER_RUNS_DIR=str(self.runs_dir),
                         MUSTER_RUNTIME_DIR=str(self.runtime_dir),
                         MUSTER_LEASE_DIR=str(self.directory / "leases"))
        for name, value in (changes or {}).items():
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = str(value)
        return variables

    def run_directories(self):
        if not self.runs_dir.is_dir():
            return []
        return [path for path in self.runs_dir.iterdir()
                if path.is_dir() and not path.name.startswith(".")]

    def start_muster(self, args, env=None, cwd=None, stdin=subprocess.DEVNULL, prefix=(),
                     muster=MUSTER, **popen):
        """Starts muster in a session of its own and does not wait; `prefix` goes before it."""
        self.started += 1
        stdout_file = self.directory / f"muster-{self.started}.stdout"
        stderr_file = self.directory / f"muster-{self.started}.stderr"
        known_runs = set(self.run_directories())
        with open(stdout_file, "wb") as stdout, open(stderr_file, "wb") as stderr:
            process = subprocess.Popen(
                [*map(str, prefix), *SANDBOX, str(muster), *map(str, args)], env=self.environment(env),
                cwd=cwd or self.work_dir, stdin=stdin, stdout=stdout, stderr=stderr,
                start_new_session=True, **popen)
        self.addCleanup(end, process)
        return Running(self, process, stdout_file, stderr_file, known_runs)

    def run_muster(self, args, env=None, cwd=None, timeout=60.0, **popen):
        """Runs muster to its end."""
        return self.start_muster(args, env, cwd, **popen).wait(timeout)

    def processes(self):
        """Every living process of this test but this one, wherever it is in the process tree."""
        return [each for each in all_processes()
                if each.pid != os.getpid() and each.state not in "ZX"
                and carries(each.pid, "TEST_MARK", self.mark)]

    def assert_nothing_left(self, within=5.0):
        """No process of this test lives, at the latest after that many seconds."""
        deadline = time.monotonic() + within
        while True:
            left = self.processes()
            if not left:
                return
            if time.monotonic() > deadline:
                self.fail(f"left after {within} s:\n" + "\n".join(map(repr, left)))
            time.sleep(0.02)

    def assert_runtime_empty(self):
        """No file or directory is left in this test's runtime directory."""
        self.assertEqual(sorted(map(str, self.runtime_dir.rglob("*"))), [])

    def assert_code(self, result, code):
        self.assertEqual(result.code, code, f"\n{result}")


def end(process):
    if process.poll() is None:
        process.kill()
    process.wait()


def flood_bytes(rank, offset, length, no_newline_for=0):
    """What tests/programs/flood writes: a numpy array of `length` bytes from `offset` on."""
    import numpy as np  # only tests of streams need it

    first, end_word = offset // 8, (offset + length + 7) // 8
    with np.errstate(over="ignore"):
        x = np.arange(first, end_word, dtype=np.uint64) + np.uint64(rank << 40)
        x += np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    data = x.astype("<u8").view(np.uint8)[offset - 8 * first:][:length].copy()
    head = data[:max(0, no_newline_for - offset)]
    head[head == 0x0A] = 0x0B
    return data


def flood_difference(path, rank, length, no_newline_for=0, chunk=16 << 20):
    """None when the file is exactly that flood; else what is wrong, in one sentence."""
    import numpy as np

    size = os.path.getsize(path)
    if size != length:
        return f"{path} has {size} bytes, not {length}"
    with open(path, "rb") as file:
        for offset in range(0, length, chunk):
            stored = np.frombuffer(file.read(chunk), dtype=np.uint8)
            wrong = np.nonzero(stored != flood_bytes(rank, offset, len(stored), no_newline_for))[0]
            if len(wrong):
                return f"{path} differs from offset {offset + int(wrong[0])} on"
    return None


def flood_count(path):
    """What `flood --count-file` recorded: the bytes that write() had returned for."""
    return int.from_bytes(Path(path).read_bytes(), "little")


def main():
    """Runs the calling file's tests; ends with 77 when all were skipped, so that ctest says so."""
    outcome = unittest.main(module="__main__", verbosity=2, exit=False).result
    if not outcome.wasSuccessful():
        sys.exit(1)
    if outcome.testsRun == 0:
        sys.exit("no test was run")
    if len(outcome.skipped) == outcome.testsRun:
        sys.exit(SKIPPED)
    sys.exit(0)
