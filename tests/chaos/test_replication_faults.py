"""Faults on the way to a collector, `muster relay`: F5, F8 to F12, F14, F15 and F23 of the fault matrix.

send_flood is Muster's own client with streams of which every byte is known; the network between is
tests/programs/chaos_proxy.  Afterwards the collector's store has every byte, once: payload_check compares
them.  (`muster verify` wants a run.json, which send_flood does not send.)
"""

import shutil
import subprocess
import time

import muster_test
from chaos import (KIB, LONG, MIB, RATE, Proxy, Relay, SenderTest, SmallDisk, open_files,
                   resident_bytes)
from muster_test import PROGRAMS_DIR, program

SIZE = 8 * MIB  # of each stream: a second


class Killed(SenderTest):
    """F4, F5, F23: the collector, again and again; the sender of a file."""

    ranks = 2

    def test_f05_a_collector_that_is_killed_again_and_again(self):
        kills = 50 if LONG else 6
        seconds = 120 if LONG else 3
        size = RATE // 2 * seconds

        def one_seed(chance):
            relay = Relay(self)
            delivery = self.deliver(relay.address, size, rate=RATE // 2)
            files = []
            memory = []
            for _ in range(kills):
                time.sleep(chance.uniform(0.2, 1.8) * seconds / kills)
                relay.kill()
                if chance.random() < 0.5:
                    time.sleep(chance.uniform(0, 0.5))
                relay.start()
                if delivery.process.poll() is None:
                    files.append(open_files(delivery.pid))
                    memory.append(resident_bytes(delivery.pid))
            self.assert_arrives(delivery, relay, size)
            half = len(files) // 2
            if half > 0:
                self.assertLessEqual(max(files[half:]), max(files[:half]) + 4, files)
                self.assertLessEqual(max(memory[half:]), 1.1 * max(memory[:half]) + 8 * MIB, memory)

        self.each_seed(one_seed)

    def test_f23_a_large_file_goes_on_where_it_was(self):
        size = (2048 if LONG else 96) * MIB
        kills = 40 if LONG else 3
        seconds = 60 if LONG else 3

        def one_seed(chance):
            relay = Relay(self, "tcp:127.0.0.1:0")
            proxy = Proxy(self, relay.address, seed=chance.randrange(1 << 30))
            proxy(f"up rate {size // seconds}")
            delivery = self.deliver(proxy.address, size, "--file", "outputs/model.bin", streams=1,
                                    rate=0)
            for _ in range(kills):
                time.sleep(chance.uniform(0.3, 1.2) * seconds / kills)
                relay.kill()
                published = relay.store / delivery.run_id / "outputs/model.bin"
                self.assertTrue(not published.exists() or published.stat().st_size == size,
                                "a part was published")
                relay.start()
            proxy("rate 0")
            status, told = delivery.wait(120)
            self.assertEqual(status, 0, told)
            done = subprocess.run([program("payload_check"), published, "--rank", "0", "--length",
                                   str(size)], capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done)
            self.assertLessEqual(told["sent"] - size, kills * 8 * MIB, told)

        self.each_seed(one_seed)


class Twins(SenderTest):
    """F12: two senders of one writer."""

    ranks = 2

    def test_f12_the_newer_wins_and_the_older_is_fenced(self):
        def one_seed(chance):
            relay = Relay(self)
            older = self.deliver(relay.address, SIZE, "--epoch", 5)
            time.sleep(chance.uniform(0.1, 1))
            if chance.random() < 0.5:  # a collector that has forgotten must not forget this
                relay.kill()
                relay.start()
            self.runs -= 1  # the same run
            newer = self.deliver(relay.address, SIZE, "--epoch", 6)
            self.assert_arrives(newer, relay, SIZE)
            status, told = older.wait(60)
            self.assertEqual((status, told["superseded"]), (3, True))
            relay.kill()
            relay.start()
            self.runs -= 1
            late = self.deliver(relay.address, SIZE, "--epoch", 4)
            self.assertEqual(late.wait(60)[0], 3)
            self.assert_there(relay.store / newer.run_id, SIZE)

        self.each_seed(one_seed)


class Network(SenderTest):
    def collector(self, chance):
        """A relay on TCP, and what is between."""
        relay = Relay(self, "tcp:127.0.0.1:0")
        return relay, Proxy(self, relay.address, seed=chance.randrange(1 << 30))

    def through(self, chance, seconds, *commands, size=SIZE, rate=RATE):
        """A flood with these faults for that long, which then end; what the proxy counted."""
        relay, proxy = self.collector(chance)
        wait = chance.uniform(0, 0.6)
        # What counts from a connection's beginning must be there before it.
        of_connection = any(command.startswith(("reset", "half_close")) for command in commands)
        at_once = chance.random() < 0.5 or of_connection
        for command in commands if at_once else ():
            proxy(command)
        delivery = self.deliver(proxy.address, size, rate=rate)
        if not at_once:
            time.sleep(wait)
            for command in commands:
                proxy(command)
        time.sleep(seconds)
        stats = proxy.stats()
        for command in commands:
            words = command.split()
            proxy(" ".join([*words[:-1], "off"]) if words[-1] == "on" else
                  f"{words[0]} 0 0" if words[0] in ("reset", "half_close") else
                  " ".join([*words[:-1], "0"]))
        told = self.assert_arrives(delivery, relay, size)
        self.assertGreaterEqual(told["sent"], size * self.ranks)
        return stats

    def test_f08_a_network_that_is_gone_for_a_while(self):
        def one_seed(chance):
            seconds = chance.choice((5, 60)) if LONG else chance.uniform(0.5, 1.5)
            self.through(chance, seconds, "hold on")

        self.each_seed(one_seed)

    def test_f09_connections_that_are_reset(self):
        def one_seed(chance):
            least, most = chance.choice(((2 * KIB, 50 * KIB), (50 * KIB, MIB)))
            stats = self.through(chance, 4 if LONG else 1, f"reset {least} {most}", size=4 * MIB)
            self.assertGreater(stats["resets"], 0, stats)

        self.each_seed(one_seed)

    def test_f09_half_closed_connections(self):
        def one_seed(chance):
            stats = self.through(chance, 4 if LONG else 1, f"half_close {10 * KIB} {MIB}", size=8 * MIB)
            self.assertGreater(stats["half_closes"], 0, stats)

        self.each_seed(one_seed)

    def test_f09_one_byte_at_a_time(self):
        def one_seed(chance):
            self.through(chance, 1, "segment 1", size=300 * KIB)

        self.each_seed(one_seed)

    def test_f09_connections_that_are_refused(self):
        def one_seed(chance):
            stats = self.through(chance, 4 if LONG else 1, "refuse 40", f"reset {200 * KIB} {MIB}", size=4 * MIB)
            self.assertGreater(stats["resets"], 0, stats)

        self.each_seed(one_seed)

    def test_f10_flipped_bits_are_never_stored(self):
        def one_seed(chance):
            every = 10 * MIB if LONG else 200 * KIB
            stats = self.through(chance, 1.2, f"flip {every}", size=SIZE)
            self.assertGreater(stats["flips"], 0, stats)

        self.each_seed(one_seed)

    def test_f11_one_way_is_lost(self):
        def one_seed(chance):
            way = chance.choice(("down", "down", "up"))
            self.through(chance, 30 if LONG else 1, f"{way} hold on")

        self.each_seed(one_seed)


@muster_test.needs_root
class Disks(SenderTest):
    """F14, F15: the collector's disk is full, or fails."""

    ranks = 2

    def test_f14_a_full_disk_of_the_collector_is_waited_for(self):
        def one_seed(chance):
            disk = SmallDisk(self, "48m")
            disk.fill(40)
            relay = Relay(self, store=disk.path / "store", prefix=disk.inside)
            size = 12 * MIB  # of each stream: more than there is room for
            delivery = self.deliver(relay.address, size)
            time.sleep(chance.uniform(1, 2))
            self.assertIsNone(relay.process.poll(), "it serves on")
            self.assertIsNone(delivery.process.poll(), "nothing false was acknowledged")
            self.assertIn("disk_full", relay.log.read_text())
            disk.free()
            self.assert_arrives(delivery, relay, size, disk.inside)
            self.assertIn("disk_has_room", relay.log.read_text())

        self.each_seed(one_seed)

    FAULTS = (("fdatasync,fsync,syncfs", "EIO", 8), ("write", "EIO", 400), ("write", "short", 400),
              ("write", "EINTR", 400), ("open", "EIO", 20), ("rename", "EIO", 10),
              ("write", "ENOSPC", 400), ("ftruncate,fallocate,unlink", "EIO", 8))

    def test_f15_calls_that_fail_make_no_false_acknowledgement(self):
        log = self.directory / "failed-calls"

        def one_seed(chance):
            for calls, how, most in self.FAULTS if LONG else chance.sample(self.FAULTS, 2):
                with self.subTest(calls=calls, how=how):
                    orders = {"LD_PRELOAD": PROGRAMS_DIR / "fail_calls.so", "FAIL_PROGRAM": "muster",
                              "FAIL_BELOW": f"{self.directory}/store", "FAIL_CALLS": calls,
                              "FAIL_HOW": how, "FAIL_FROM": chance.randrange(1, most),
                              "FAIL_COUNT": chance.choice((1, 1, 3)), "FAIL_LOG": log}
                    relay = Relay(self, env=orders)
                    self.assert_arrives(self.deliver(relay.address, 6 * MIB), relay, 6 * MIB)
                    relay.end()
                    shutil.rmtree(relay.store)

        self.each_seed(one_seed)


if __name__ == "__main__":
    muster_test.main()
