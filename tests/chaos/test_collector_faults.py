"""Faults between a run and its collector, `muster relay`: F3, F4, F6, F7, F12 and F23 of the fault
matrix.

Afterwards both stores have every byte, once, and `muster verify` says so.  What happens on the way alone
is in test_replication_faults.py.
"""

import json
import shutil
import signal
import subprocess
import time

import muster_test
from chaos import (CHUNK, LONG, MIB, PIPE, RATE, CollectorTest, Proxy, Relay)
from muster_test import program, wait_until

SIZE = 16 * MIB  # of each rank's flood: two seconds


class Killed(CollectorTest):
    def test_f04_a_collector_that_is_killed_and_comes_back(self):
        waits = (0.1, 5, 60) if LONG else (0.1, 0.5, 1.5)

        def one_seed(chance):
            relay = Relay(self)
            running = self.start_delivered(relay.address, SIZE)
            time.sleep(chance.uniform(0.1, 1))
            relay.kill()
            before = [self.returned(rank) for rank in range(self.ranks)]
            time.sleep(chance.choice(waits))
            for rank in range(self.ranks):  # nobody waits for the collector
                self.assertTrue(self.returned(rank) > before[rank] or self.returned(rank) == SIZE)
            relay.start()
            self.assert_delivered(running.wait(180), relay, SIZE)

        self.each_seed(one_seed)

    def test_f03_a_killed_launchers_store_is_delivered_later(self):
        def one_seed(chance):
            relay = Relay(self)
            running = self.start_delivered(relay.address, 4 << 30)
            self.wait_flooding()
            time.sleep(chance.uniform(0.1, 1))
            if chance.random() < 0.5:
                relay.kill()
                time.sleep(0.2)
            directory = running.run_directory
            running.send(signal.SIGKILL)
            running.process.wait()
            self.assert_nothing_left_but(relay)
            if relay.process.poll() is not None:
                relay.start()
            done = self.run_muster(["sync", directory, "--collector", relay.address, "--insecure"],
                                   timeout=120)
            self.assert_code(done, 0)
            for place in (directory, relay.run_directory(directory)):
                for rank in range(self.ranks):
                    stored = self.assert_payload(place, rank)
                    self.assertGreaterEqual(stored, self.returned(rank) - PIPE)
                    gaps = self.gaps_of(place)[f"ranks/{rank:05}/attempt-0/stdout.log"]
                    self.assertEqual(gaps, [(stored, None, "launcher_lost")])
                self.verify(place)

        self.each_seed(one_seed)

    def assert_nothing_left_but(self, relay):
        wait_until(lambda: {each.pid for each in self.processes()} <= {relay.pid}, 20,
                   "the end of all processes of the run")


class Stopped(CollectorTest):
    def test_f06_a_collector_that_is_stopped(self):
        pause = 60 if LONG else 1.5
        size = int(RATE * (pause + 1))

        def one_seed(chance):
            relay = Relay(self)
            running = self.start_delivered(relay.address, size)
            time.sleep(chance.uniform(0.1, 0.5))
            relay.send(signal.SIGSTOP)
            before = [self.returned(rank) for rank in range(self.ranks)]
            time.sleep(pause)
            after = [self.returned(rank) for rank in range(self.ranks)]
            relay.send(signal.SIGCONT)
            for rank in range(self.ranks):
                self.assertTrue(after[rank] > before[rank] + CHUNK or after[rank] == size)
            self.assert_delivered(running.wait(180), relay, size)

        self.each_seed(one_seed)


class Slow(CollectorTest):
    """F7: a collector that takes much less than the ranks write."""

    BOUND = 96 * MIB
    SIZE = (512 if LONG else 48) * MIB

    def test_f07_what_does_not_fit_is_a_gap_and_nothing_else_is(self):
        def one_seed(chance):
            relay = Relay(self, "tcp:127.0.0.1:0")
            proxy = Proxy(self, relay.address, seed=chance.randrange(1 << 30))
            proxy("up rate 1M")
            script = (f"exec 3>\"$MUSTER_METRICS\"; echo steps 1 >&3; echo begin $RANK >&2; "
                      f"'{program('flood')}' --chunk {CHUNK} --bytes {self.SIZE} --rate {4 * RATE} "
                      f"--count-file '{self.counters}'/$RANK; echo end $RANK >&2; echo steps 2 >&3")
            running = self.start_delivered(
                proxy.address, self.SIZE, "--set", f"streams.max_size={self.BOUND // MIB}m",
                command=["sh", "-c", script])
            most = 0
            while any(self.returned(rank) < self.SIZE for rank in range(self.ranks)):
                most = max(most, self.on_disk(running.run_directory))
                self.assertIsNone(running.process.poll(), "the run ended early")
                time.sleep(0.05)
            proxy("rate 0")
            result = running.wait(180)
            self.assert_code(result, 0)
            # The follower looks from time to time: that much more may have come meanwhile.
            self.assertLess(most, self.BOUND + self.ranks * 4 * RATE)
            there = relay.run_directory(result.run_directory)
            dropped = 0
            for rank in range(self.ranks):
                path = f"ranks/{rank:05}/attempt-0/stdout.log"
                gaps = self.gaps_of(there).get(path, [])
                self.assertEqual({reason for _, _, reason in gaps} - {"overflow"}, set())
                dropped += sum(to - from_ for from_, to, _ in gaps)
                self.assert_payload(there, rank, "--length", self.SIZE,
                                    gaps=[gap[:2] for gap in gaps])
                for name, words in (("stderr.log", f"begin {rank}\nend {rank}\n"),
                                    ("metrics.jsonl", "steps 1\nsteps 2\n")):
                    self.assertEqual(self.stream_of(there, rank, name).read_text(), words)
            self.assertGreater(dropped, 0)
            self.assertEqual({path for path in self.gaps_of(there) if "stdout" not in path}, set())
            self.verify(there)
            self.verify(result.run_directory)

        self.each_seed(one_seed)

    def on_disk(self, directory):
        return sum(path.stat().st_blocks * 512 for path in directory.glob("ranks/*/*/*.log"))


class Twins(CollectorTest):
    """F12: two stores of one writer."""

    ranks = 2

    def test_f12_the_newer_of_two_wins_and_the_older_is_told(self):
        def one_seed(chance):
            relay = Relay(self)
            running = self.start_delivered(relay.address, SIZE)
            self.wait_flooding(MIB)
            time.sleep(chance.uniform(0, 0.5))
            twin = self.directory / "twin" / running.run_directory.name
            shutil.copytree(running.run_directory, twin, symlinks=True)
            done = self.run_muster(["sync", twin, "--collector", relay.address, "--insecure"],
                                   timeout=120)
            self.assert_code(done, 0)
            result = running.wait(120)
            self.assert_code(result, 76)  # the ranks succeeded, and not all of it was delivered
            self.assertIn("start of node-0 writes", result.stderr + json.dumps(result.run_json))
            self.verify(result.run_directory)
            there = relay.run_directory(result.run_directory)
            for rank in range(self.ranks):
                self.assert_payload(result.run_directory, rank, "--length", SIZE)
                self.assert_payload(there, rank)
            self.verify(there)
            shutil.rmtree(twin.parent)

        self.each_seed(one_seed)


class Uploads(CollectorTest):
    """F23: sender or collector killed at random points of one large file."""

    ranks = 1
    SIZE = (2048 if LONG else 64) * MIB
    KILLS = 40 if LONG else 3

    def test_f23_a_large_file_goes_on_where_it_was(self):
        def one_seed(chance):
            relay = Relay(self, "tcp:127.0.0.1:0")
            proxy = Proxy(self, relay.address, seed=chance.randrange(1 << 30))
            proxy(f"up rate {self.SIZE // (60 if LONG else 3)}")
            script = (f"'{program('flood')}' --bytes {self.SIZE} > outputs/model.bin.part && "
                      "mv outputs/model.bin.part outputs/model.bin; sleep 1")
            (self.work_dir / "outputs").mkdir(exist_ok=True)
            running = self.start_delivered(proxy.address, 0, command=["sh", "-c", script])
            for _ in range(self.KILLS):
                time.sleep(chance.uniform(0.3, 1))
                relay.kill()
                relay.start()
            result = running.wait(300)
            self.assert_code(result, 0)
            there = relay.run_directory(result.run_directory)
            done = subprocess.run(
                [program("payload_check"), there / "outputs/model.bin", "--rank", "0", "--length",
                 str(self.SIZE)], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done)
            self.verify(there)
            sent_again = proxy.stats()["up"] - self.SIZE
            self.assertLessEqual(sent_again, (self.KILLS + 1) * 8 * MIB)
            (self.work_dir / "outputs/model.bin").unlink()

        self.each_seed(one_seed)


if __name__ == "__main__":
    muster_test.main()
