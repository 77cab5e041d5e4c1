"""What the benchmarks share: timed commands under a timeout, interleaved rounds, rows of the table.

Every command runs in a session of its own with a mark in its environment, so whatever a peer leaves
behind is found and ended, however it left its parent.
"""

import os
import platform
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

SOURCE_DIR = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SOURCE_DIR / "tests/support"))
from muster_test import (FOREIGN, FOREIGN_NAMES, all_processes, carries,  # noqa: E402
                         descendants_of)

MPIRUN = shutil.which("mpirun")
CORES = len(os.sched_getaffinity(0))
MARK = "BENCHMARK_MARK"
DIRECT = ["--backend", "direct"]


class Waived(Exception):
    """This cannot be measured here; the text says why."""


@dataclass
class Sample:
    """One figure, measured several times."""
    values: list

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def best(self):
        return min(self.values)

    def quartiles(self):
        if len(self.values) < 2:
            return self.values[0], self.values[0]
        first, _, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return first, third

    def as_json(self):
        first, third = self.quartiles()
        return {"median": self.median, "min": min(self.values), "max": max(self.values),
                "first_quartile": first, "third_quartile": third, "n": len(self.values),
                "values": self.values}


@dataclass
class Row:
    """One line of the table.  `ratio` is ours / peer; met None means that there is no budget."""
    what: str
    peer_name: str = ""
    unit: str = ""
    peer: Sample | None = None
    ours: Sample | None = None
    budget: str = ""
    met: bool | None = None
    waived: str = ""
    notes: list = field(default_factory=list)

    @property
    def ratio(self):
        if self.peer is None or self.ours is None or self.peer.median == 0:
            return None
        return self.ours.median / self.peer.median

    @property
    def verdict(self):
        if self.waived:
            return "WAIVED"
        return {True: "yes", False: "NO", None: "-"}[self.met]

    def as_json(self):
        return {"what": self.what, "peer_name": self.peer_name, "unit": self.unit,
                "peer": self.peer and self.peer.as_json(),
                "ours": self.ours and self.ours.as_json(), "ratio": self.ratio,
                "budget": self.budget, "met": self.met, "verdict": self.verdict,
                "waived": self.waived, "notes": self.notes}


class Bench:
    """Where things are, how often to repeat, and a scratch directory that is removed."""

    def __init__(self, bin_dir, programs_dir, rounds, directory=None):
        self.muster = str(Path(bin_dir).resolve() / "muster")
        self.agent = str(Path(bin_dir).resolve() / "muster-agent")
        self.programs_dir = Path(programs_dir).resolve()
        self.rounds = rounds
        self.mark = uuid.uuid4().hex
        self.scratch = Path(tempfile.mkdtemp(prefix="muster-bench-", dir=directory))
        self.runs_dir = self.scratch / "runs"

    def close(self):
        self.end_strangers()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def rounds_or(self, number):
        """A benchmark's own number of rounds, unless the caller asked for another one."""
        return self.rounds or number

    def environment(self, **changes):
        """The caller's without another job's variables; changes to None remove one."""
        variables = {name: value for name, value in os.environ.items()
                     if not name.startswith(FOREIGN) and name not in FOREIGN_NAMES}
        variables.update({MARK: self.mark, "MUSTER_RUNS_DIR": str(self.runs_dir),
                          "MUSTER_LEASE_DIR": str(self.scratch / "leases")}, **changes)
        return variables

    def program(self, name):
        path = self.programs_dir / name
        if not path.exists():
            raise Waived(f"{name} is not built")
        return str(path)

    def mpirun(self, ranks, *words, safe=True, prefix="--mca"):
        """As a user types it, with what keeps it from refusing and, unless told not to, hanging."""
        if MPIRUN is None:
            raise Waived("no mpirun on PATH")
        argv = ["mpirun"]
        if os.geteuid() == 0:
            argv.append("--allow-run-as-root")
        if ranks > CORES:
            argv.append("--oversubscribe")
        if safe:
            argv += [prefix, "odls_base_num_threads", "0"]
        return [*argv, "-np", str(ranks), *words]

    def run_line(self, ranks, *words, options=()):
        return [self.muster, "run", "-n", str(ranks), *options, "--", *words]

    def start(self, argv, stdout=subprocess.DEVNULL, cwd=None, **changes):
        try:
            return subprocess.Popen(argv, env=self.environment(**changes), cwd=cwd or self.scratch,
                                    stdin=subprocess.DEVNULL, stdout=stdout,
                                    stderr=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            raise Waived(f"{argv[0]} cannot be started: {error.strerror}") from error

    def seconds_of(self, argv, timeout=30.0, stdout=subprocess.DEVNULL, **changes):
        """Wall time of the whole command; None when it did not end in time (it is then ended)."""
        begin = time.monotonic()
        process = self.start(argv, stdout, **changes)
        ended = wait_gone([process.pid], timeout)
        seconds = time.monotonic() - begin
        if not ended:
            self.end(process)
            return None
        if process.wait() != 0:
            self.end_strangers()
            raise Waived(f"`{' '.join(argv[:6])} …` ended with {process.returncode}")
        return seconds

    def end(self, process):
        """Ends a command and everything that carries our mark."""
        if process.poll() is None:
            process.kill()
        process.wait()
        self.end_strangers()

    def end_strangers(self):
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            left = [each for each in all_processes()
                    if each.pid != os.getpid() and each.state not in "ZX"
                    and carries(each.pid, MARK, self.mark)]
            if not left:
                return
            for each in left:
                try:
                    os.kill(each.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)

    def interleaved(self, arms, rounds, warm_up=1):
        """{name: Sample} of {name: function() -> figure or None}; the arms take turns.

        None is a peer that hung: it is counted, under the key "hung", and not timed.
        """
        values = {name: [] for name in arms}
        hung = dict.fromkeys(arms, 0)
        for turn in range(-warm_up, rounds):
            # Who goes first alternates: the second finds warmer caches.
            names = list(arms) if turn % 2 == 0 else list(reversed(arms))
            for name in names:
                value = arms[name]()
                if value is None:
                    hung[name] += 1
                elif turn >= 0:
                    values[name].append(value)
        for name, measured in values.items():
            if not measured:
                raise Waived(f"{name} hung in every round")
        return {name: Sample(measured) for name, measured in values.items()}, hung


def wait_gone(pids, timeout):
    """Waits until none of these processes runs; False when the time was up before."""
    deadline = time.monotonic() + timeout
    for pid in pids:
        while is_running(pid):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            wait_for_end(pid, left)
    return True


def wait_for_end(pid, timeout):
    """Returns at the end of the process, or somewhat before: the caller looks."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:  # a sandbox without pidfd
        time.sleep(0.001)
        return
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll(timeout * 1000)
    finally:
        os.close(descriptor)


def is_running(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat[stat.rindex(")") + 2] not in "ZX"


def descendants_named(pid, name):
    return [each.pid for each in descendants_of(pid)
            if each.argv and os.path.basename(each.argv[0]) == name]


def wait_for(condition, timeout, what):
    """The first true value; Waived when there is none in time."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Waived(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(0.02)
    return value


def first_line(argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip() if done.returncode == 0 else ""


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def describe_machine(bench):
    git = ["git", "-C", str(SOURCE_DIR)]
    commit = first_line([*git, "rev-parse", "--short", "HEAD"]) or "none"
    if commit != "none" and first_line([*git, "status", "--porcelain"]):
        commit += " and changes"
    return {"date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
            "cpu": cpu_model(), "cores": CORES, "kernel": platform.release(),
            "load": round(os.getloadavg()[0], 2),
            "open_mpi": first_line([MPIRUN, "--version"]) if MPIRUN else "none",
            "muster": first_line([bench.muster, "--version"]), "commit": commit}
