"""What the fault tests share: seeds, floods whose every byte is known, verify as the judge, a
collector that can be killed, and a network that misbehaves.

MUSTER_SEEDS is how many seeds each test does [3], from MUSTER_FIRST_SEED on [1]; MUSTER_SEED is one to
repeat alone.  All that a test leaves to chance comes from the seed.  MUSTER_FAULTS=long (scripts/soak
--faults) asks for the full sizes and times of the fault matrix.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
from pathlib import Path

import muster_test
from muster_test import MUSTER, MusterTest, flood_count, program, wait_until

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

    def assert_payload(self, directory, rank, *options, gaps=(), prefix=()):
        """Every stored byte outside of the gaps is the flood's; how many were compared."""
        words = [option for gap in gaps for option in ("--gap", f"{gap[0]}-{gap[1]}")]
        done = subprocess.run([*map(str, prefix), program("payload_check"),
                               self.stream_of(directory, rank), "--rank", str(rank), *words,
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

    def gaps_of(self, directory):
        """{stream: [(from, to, reason)]} as the ledger has them."""
        found = {}
        ledger = Path(directory) / ".muster/streams.jsonl"
        for line in ledger.read_text(encoding="utf-8").splitlines() if ledger.exists() else ():
            record = json.loads(line)
            if "gap" in record:
                gap = record["gap"]  # once more when its end is known
                found.setdefault(record["stream"], {})[gap["from"]] = (
                    gap["from"], gap["to"], gap["reason"])
        return {stream: sorted(gaps.values()) for stream, gaps in found.items()}

    def verify(self, directory, code=0, prefix=()):
        done = self.run_muster(["verify", directory], timeout=120, prefix=prefix)
        self.assertEqual(done.code, code, f"muster verify {directory}\n{done}")
        return done


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


class SmallDisk:
    """A tmpfs in a mount namespace of its own, which ends with it; what goes before a command to run it
    there is `inside`."""

    HOLD = 'mount -t tmpfs -o "size=$2" none "$1" && echo ready && exec sleep 3600'

    def __init__(self, test, size):
        self.path = test.directory / f"disk-{len(list(test.directory.glob('disk-*')))}"
        self.path.mkdir()
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", self.HOLD, "sh", self.path, size],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=test.environment(),
            start_new_session=True)
        test.addCleanup(self.close)
        if self.holder.stdout.readline() != b"ready\n":
            test.skipTest("no tmpfs can be mounted in a mount namespace here")
        self.inside = ("nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt",
                       f"--wdns={test.work_dir}")

    def run(self, *words):
        done = subprocess.run([*self.inside, *map(str, words)], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise AssertionError(f"{words}: {done.stderr}")
        return done.stdout

    def fill(self, megabytes):
        # Others write meanwhile: full before that much is written is as good.
        self.run("sh", "-c", f"dd if=/dev/zero of='{self.path}/ballast' bs=1M count={megabytes} || true")

    def free(self):
        self.run("rm", self.path / "ballast")

    def copy(self, source, target):
        """Brings a directory out."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self.run("cp", "-a", source, self.path.parent / "brought")
        (self.path.parent / "brought").rename(target)
        return target

    def close(self):
        muster_test.end(self.holder)
        self.holder.stdout.close()


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


class Relay:
    """A `muster relay`: started, killed, stopped and started again on the same address."""

    def __init__(self, test, listen=None, store=None, options=("--insecure",), prefix=(), env=None):
        self.test = test
        self.store = store or test.directory / f"store-{len(test.relays)}"
        self.listen = listen or f"unix:{test.directory}/collector-{len(test.relays)}"
        self.options = options
        self.prefix = prefix
        self.env = env
        self.starts = 0
        test.relays.append(self)
        self.start()

    def start(self):
        self.starts += 1
        self.log = self.test.directory / f"relay-{self.test.relays.index(self)}-{self.starts}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*map(str, self.prefix), MUSTER, "relay", "--listen", self.listen, "--store",
                 str(self.store), *map(str, self.options)], env=self.test.environment(self.env),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.test.addCleanup(muster_test.end, self.process)
        # With port 0 the one that it got is kept for the next start.
        self.listen = wait_until(self.address_told, 30, f"a relay's address in {self.log}")

    def address_told(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the relay ended with {self.process.returncode}: "
                                 f"{self.log.read_text(errors='replace')}")
        found = re.search(r"listens on (\S+?),? ", self.log.read_text(errors="replace"))
        return found and found.group(1)

    @property
    def address(self):
        return self.listen

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        self.process.kill()
        self.process.wait()

    def send(self, number):
        self.process.send_signal(number)

    def end(self):
        """Orderly; what it said."""
        self.process.terminate()
        code = self.process.wait(60)
        said = self.log.read_text(encoding="utf-8", errors="replace")
        self.test.assertEqual(code, 0, said)
        return said

    def run_directory(self, run_directory):
        """Its copy of that run."""
        return self.store / run_directory.name


class CollectorTest(ChaosTest):
    """Runs that are delivered to a relay."""

    ranks = 4

    def setUp(self):
        super().setUp()
        self.relays = []

    def end_all(self):
        super().end_all()
        for relay in self.relays:
            if not self.failed_since_start():
                shutil.rmtree(relay.store, ignore_errors=True)
        self.relays = []

    def start_delivered(self, address, size, *options, rate=RATE, command=None, **keywords):
        """A run whose ranks flood `size` bytes each, with that collector."""
        command = command or self.flood("--bytes", size, "--rate", rate)
        running = self.start_ranks(command, "--collector", address, "--insecure", *options,
                                   **keywords)
        self.wait_started(running)
        return running

    def assert_delivered(self, result, relay, size, ranks=None):
        """All of it, on both sides, without a gap."""
        self.assert_code(result, 0)
        self.assert_no_gaps(result)
        for directory in (result.run_directory, relay.run_directory(result.run_directory)):
            for rank in range(ranks or self.ranks):
                self.assert_payload(directory, rank, "--length", size)
            self.assertEqual(self.gaps_of(directory), {})
            self.verify(directory)
        there = json.loads((relay.run_directory(result.run_directory) / "run.json").read_text())
        self.assertEqual(there["status"], "succeeded")


class Delivery:
    """A send_flood that runs."""

    def __init__(self, test, address, size, streams, rate, options):
        self.run_id = f"flood-{test.next_run()}"
        self.process = subprocess.Popen(
            [program("send_flood"), address, self.run_id, "--streams", str(streams), "--bytes",
             str(size), "--rate", str(rate), *map(str, options)], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=test.environment(), start_new_session=True)
        test.addCleanup(self.close)

    @property
    def pid(self):
        return self.process.pid

    def wait(self, timeout):
        """(exit status, what it said of itself)."""
        try:
            out, error = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not delivered within {timeout} s") from None
        if error:
            raise AssertionError(error)
        return self.process.returncode, json.loads(out)

    def close(self):
        muster_test.end(self.process)
        self.process.stdout.close()
        self.process.stderr.close()


class SenderTest(CollectorTest):
    """Floods that Muster's own client delivers to a relay, without ranks."""

    runs = 0

    def next_run(self):
        self.runs += 1
        return self.runs

    def deliver(self, address, size, *options, rate=RATE, streams=None):
        return Delivery(self, address, size, streams or self.ranks, rate, options)

    def assert_arrives(self, delivery, relay, size, prefix=()):
        """Within a minute and a half after the last fault; what the sender said of itself."""
        status, told = delivery.wait(90)
        self.assertEqual(status, 0, told)
        self.assert_there(relay.store / delivery.run_id, size, prefix)
        return told

    def assert_there(self, directory, size, prefix=()):
        for rank in range(self.ranks):
            self.assert_payload(directory, rank, "--length", size, prefix=prefix)
        self.assertEqual(self.gaps_of(directory), {})
