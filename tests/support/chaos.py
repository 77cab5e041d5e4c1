"""What the fault tests share: seeds, floods whose every byte is known, verify as the judge, a
collector that can be killed, and a network that misbehaves.

MUSTER_SEEDS is how many seeds each test does [3], from MUSTER_FIRST_SEED on [1]; MUSTER_SEED is one to
repeat alone.  All that a test leaves to chance comes from the seed.  MUSTER_FAULTS=long (scripts/soak
--faults) asks for the full sizes and times of the fault matrix.
"""

import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import muster_test
from muster_test import MusterTest, flood_count, program, wait_until

SEEDS = int(os.environ.get("MUSTER_SEEDS", "3"))
FIRST_SEED = int(os.environ.get("MUSTER_FIRST_SEED", "1"))
ONE_SEED = os.environ.get("MUSTER_SEED")
LONG = os.environ.get("MUSTER_FAULTS") == "long"
KIB = 1 << 10
MIB = 1 << 20
CHUNK = 64 * KIB  # of one write() of a flood
RATE = 8 * MIB  # of one rank's flood, bytes a second
PIPE = MIB  # the most that a rank's pipe holds


def seeds():
    return [int(ONE_SEED)] if ONE_SEED else list(range(FIRST_SEED, FIRST_SEED + SEEDS))


def events_of(run_directory):
    """The records of events.jsonl, without a line that is being written."""
    found = []
    try:
        lines = (run_directory / "events.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, TypeError):
        return found
    for line in lines:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            pass
    return found


def training_pids(run_directory):
    """{rank: pid} of those that have started."""
    return {each["rank"]: each["pid"] for each in events_of(run_directory)
            if each["event"] == "rank_started"}


class ChaosTest(MusterTest):
    ranks = 8

    def each_seed(self, one_seed):
        """Calls one_seed(random) for each; what a failed one left does not disturb the next."""
        for seed in seeds():
            with self.subTest(seed=seed):
                self.counters = self.directory / f"counters-{seed}"
                self.counters.mkdir()
                try:
                    one_seed(random.Random(f"{seed} {self.id()}"))
                finally:
                    self.end_all()
            for directory in self.run_directories():  # floods are large; failed ones are kept
                if not self.failed_since_start():
                    shutil.rmtree(directory)

    def failed_since_start(self):
        outcome = self._outcome
        return not outcome.success

    def end_all(self):
        for process in self.processes():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.doCleanups()

    # ---- ranks ----

    def flood(self, *options):
        """A rank's command: a flood without an end that counts what write() has returned for."""
        words = " ".join(map(str, options or ("--bytes", "4G", "--rate", RATE)))
        return ["sh", "-c", f"exec '{program('flood')}' --chunk {CHUNK} --count-file "
                            f"'{self.counters}'/$RANK {words}"]

    def start_ranks(self, command, *options, ranks=None, **keywords):
        return self.start_muster(["run", "-n", ranks or self.ranks, "--backend", "direct",
                                  "--console", "none", *options, "--", *command], **keywords)

    def wait_started(self, running, ranks=None):
        """{rank: pid}, once all ranks run."""
        def all_of_them():
            pids = training_pids(running.run_directory)
            return pids if len(pids) == (ranks or self.ranks) else None
        return wait_until(all_of_them, 60, "the start of all ranks")

    def wait_flooding(self, bytes_=1, ranks=None):
        wait_until(lambda: all(self.returned(rank) >= bytes_
                               for rank in range(ranks or self.ranks)),
                   120, f"{bytes_} bytes of each rank")

    def returned(self, rank):
        """The bytes that write() has returned for."""
        path = self.counters / str(rank)
        return flood_count(path) if path.exists() and path.stat().st_size == 8 else 0

    def agents(self):
        """{pid: rank} of agents, not of their children before exec."""
        found = {each.pid: each for each in self.processes()
                 if os.path.basename(each.argv[0]) == "muster-agent"}
        ranks = {}
        for pid, each in found.items():
            if each.parent not in found:
                ranks[pid] = int(variable_of(pid, "MUSTER_AGENT_RANK") or -1)
        return ranks

    # ---- what is stored ----

    def stream_of(self, directory, rank, name="stdout.log"):
        return Path(directory) / f"ranks/{rank:05}/attempt-0/{name}"

    def assert_payload(self, directory, rank, *options, name="stdout.log", payload=None, gaps=()):
        """Every stored byte outside of the gaps is the flood's; how many were compared."""
        words = [option for gap in gaps for option in ("--gap", f"{gap[0]}-{gap[1]}")]
        done = subprocess.run([program("payload_check"), self.stream_of(directory, rank, name),
                               "--rank", str(rank if payload is None else payload), *words,
                               *map(str, options)],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, f"{directory} rank {rank}: {done.stdout}{done.stderr}")
        return int(done.stdout.split()[1])

    def assert_all_stored(self, directory, ranks=None):
        """Nothing of what write() returned for is missing, nothing is there twice, or wrong."""
        for rank in range(ranks or self.ranks):
            self.assert_payload(directory, rank)
            stored = self.stream_of(directory, rank).stat().st_size
            returned = self.returned(rank)
            self.assertGreaterEqual(stored, returned, f"rank {rank}")
            self.assertLessEqual(stored, returned + CHUNK, f"rank {rank}")  # a write cut short

    def assert_no_gaps(self, result):
        self.assertEqual(result.run_json["gaps"], [])


def variable_of(pid, name):
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    for entry in environment.split(b"\0"):
        if entry.startswith(name.encode() + b"="):
            return os.fsdecode(entry.partition(b"=")[2])
    return None


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * KIB
    return 0


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Proxy:
    """tests/programs/chaos_proxy between two addresses; call it with a command."""

    def __init__(self, test, forward, listen="tcp:127.0.0.1:0", seed=1):
        self.process = subprocess.Popen(
            [program("chaos_proxy"), listen, forward, "--seed", str(seed)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=test.environment(),
            start_new_session=True)
        test.addCleanup(self.close)
        self.address = self.process.stdout.readline().strip()
        test.assertRegex(self.address, "^(tcp|unix):")

    def __call__(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if answer.startswith("error"):
            raise AssertionError(answer)
        return answer

    def stats(self):
        return json.loads(self("stats"))

    def close(self):
        muster_test.end(self.process)
        self.process.stdin.close()
        self.process.stdout.close()
