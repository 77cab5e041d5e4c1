"""The head's port among strangers, while a run waits for its nodes and while it goes on: nothing of
the run changes, nobody is lost, and it costs the head little."""

import os
import re
import select
import socket
import struct
import subprocess
import threading
import time

import muster_test
import strangers
from muster_test import wait_until
from strangers import PREFACE, TLS_RECORD, field, hello, message

GROWTH = 12 << 20  # of buffers that are kept: nothing that grows with what strangers send


class Peer:
    """A link_peer and what it has printed."""

    def __init__(self, test, args):
        self.process = subprocess.Popen(
            [muster_test.program("link_peer"), *map(str, args)], env=test.environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        self.lines = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        test.addCleanup(self.end)

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    def wait_for(self, start, seconds=60):
        """The first line that begins so."""
        return wait_until(lambda: next((line for line in list(self.lines) if line.startswith(start)),
                                       None), seconds, f"`{start}` among {self.lines[-20:]}")

    def count(self, start):
        return sum(1 for line in list(self.lines) if line.startswith(start))

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def wait(self, seconds=60):
        code = self.process.wait(seconds)
        self.reader.join()  # every line of it is here now
        return code

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


class Tapped:
    """Between a member and the head: passes everything on, and keeps what the member says first."""

    def __init__(self, test, port):
        self.port_of_head = port
        self.words = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ended = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        test.addCleanup(self.end)

    def run(self):
        others = {}  # each end and its other one
        first = None
        self.listener.setblocking(False)
        while not self.ended:
            for source in select.select([self.listener, *others], [], [], 0.05)[0]:
                if source is self.listener:
                    member, _ = self.listener.accept()
                    try:
                        head = socket.create_connection(("127.0.0.1", self.port_of_head), 10)
                    except ConnectionRefusedError:
                        member.close()  # the head comes later, and so does the member again
                        continue
                    member.settimeout(10)
                    others.update({member: head, head: member})
                    first = first or member
                elif source in others:
                    try:
                        piece = source.recv(1 << 16)
                        others[source].sendall(piece)
                    except OSError:
                        piece = b""
                    if source is first:
                        self.words += piece
                    if not piece:
                        for each in (source, others[source]):
                            del others[each]
                            each.close()
        for each in others:
            each.close()

    def end(self):
        self.ended = True
        self.thread.join()
        self.listener.close()


class ClusterSecurityTest(muster_test.MusterTest):
    def setUp(self):
        super().setUp()
        self.token = self.directory / "token"
        self.assert_code(self.run_muster(["token", "--output", self.token]), 0)
        self.other_token = self.directory / "other"
        self.assert_code(self.run_muster(["token", "--output", self.other_token]), 0)

    def start_head(self, scheme, token):
        self.head = Peer(self, ["head", 3, f"{scheme}:127.0.0.1:0", token])
        self.port = int(self.head.wait_for("listens").rsplit(":", 1)[1])
        self.token_used = token

    def member(self, rank, port=None, token=None):
        return Peer(self, ["member", rank, 3, f"127.0.0.1:{port or self.port}",
                           token or self.token_used])

    def connect(self):
        peer = socket.create_connection(("127.0.0.1", self.port), 10)
        peer.settimeout(60)
        self.addCleanup(peer.close)
        return peer

    def say(self, words):
        peer = self.connect()
        strangers.say(peer, words)
        return peer

    def attack(self, heard):
        """Everything that somebody without the token can do; all of it ends by the head's doing."""
        begin = time.monotonic()
        closing = [self.say(TLS_RECORD), self.say(heard[:40]), self.say(b""),  # and then nothing
                   self.say(heard), self.say(heard[:200] + os.urandom(500)),  # heard before
                   self.say(b"\x16\x03\x01\xff\xff" + b"x" * 70000),
                   self.say(PREFACE + b"\xff\xff\x01" + b"x" * 9000),
                   self.say(PREFACE + hello(role=strangers.CONTROL)),
                   self.say(struct.pack("<I", 1 << 30) + os.urandom(3000)),
                   *(self.say(os.urandom(1 + i * 300)) for i in range(20))]
        slow = self.connect()  # a byte now and then
        idle = [self.connect() for _ in range(500)]
        wrong = self.member(2, token=self.other_token)
        for byte in TLS_RECORD * 5:
            strangers.say(slow, bytes([byte]))
            time.sleep(0.02)
        self.assertEqual(wrong.wait(), 77)
        self.assertRegex(wrong.lines[-1], "token")
        for peer in (*closing, slow, *idle):
            strangers.heard_until_closed(peer)
        self.assertLess(time.monotonic() - begin, 60)

    def assert_unharmed(self, before, memory):
        time.sleep(0.3)
        self.assertEqual(before, self.state())
        self.assertLess(strangers.memory_of(self.head.pid) - memory, GROWTH)
        self.assertLess(len(os.listdir(f"/proc/{self.head.pid}/fd")), 64 + 40)
        self.assertLess(len(self.head.lines), 120, "lines about strangers are few")

    def state(self):
        state = ("joined", "all here", "lost", "suspect", "message", "missing")
        return [line for line in list(self.head.lines) if line.startswith(state)]

    def test_strangers_of_a_run(self):
        """It waits, trains, and ends as if nobody had been there."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.token_used = self.token
        tap = Tapped(self, self.port)
        go = self.directory / "go"
        script = f"echo rank $RANK; until [ -e {go} ]; do sleep 0.05; done; echo done"

        def launcher(rank, port):
            place = self.directory / f"node-{rank}"
            place.mkdir()
            return self.start_muster(
                ["run", "--nodes", "3", "--node-rank", str(rank), "--rendezvous",
                 f"127.0.0.1:{port}", "--token-file", self.token, "--backend", "direct", "-n", "1",
                 "--", "sh", "-c", script], cwd=place)

        head = launcher(0, self.port)
        one = launcher(1, tap.port)
        wait_until(lambda: tap.words, 60, "a member that speaks")
        # What the library keeps after its first failed handshakes belongs to no stranger.
        self.assertEqual(self.member(2, token=self.other_token).wait(), 77)
        memory = strangers.memory_of(head.pid)
        self.attack(tap.words)
        self.assertLess(strangers.memory_of(head.pid) - memory, GROWTH)
        for each in (head, one):
            self.assertTrue(muster_test.is_alive(each.pid), each.output())
        two = launcher(2, self.port)
        runs = self.runs_dir

        def started():
            return [path.read_text() for path in runs.glob("*/events.jsonl")
                    if '"all_ranks_started"' in path.read_text()]

        wait_until(started, 60, "all ranks")
        memory = strangers.memory_of(head.pid)
        self.attack(tap.words)
        self.assertLess(strangers.memory_of(head.pid) - memory, GROWTH)
        self.assertLess(len(os.listdir(f"/proc/{head.pid}/fd")), 64 + 60)
        self.assertLess(head.output().count(b"\n"), 120, "lines about strangers are few")
        # Somebody with the token, and of another version.
        again = self.member(1)
        self.assertEqual(again.wait(), 69)
        self.assertIn("link_peer", again.lines[-1])
        self.assertNotIn("rank_ended", started()[0])
        go.touch()
        for each in (head, one, two):
            self.assert_code(each.wait(), 0)
        run = next(runs.glob("2*"))
        for rank in range(3):
            self.assertEqual((run / f"ranks/{rank:05}/attempt-0/stdout.log").read_text(),
                             f"rank {rank}\ndone\n")
        self.assertNotRegex((run / "events.jsonl").read_text(), "node_(suspect|lost)")
        self.assert_code(self.run_muster(["verify", run]), 0)

    # --- whoever is let in, as everybody is with --insecure

    def shaken(self, rank):
        """A connection that is believed."""
        peer = self.say(PREFACE + hello(b"join", 0, strangers.CONTROL, b"node-%d" % rank))
        peer.recv(4096)
        strangers.say(peer, message(3, b""))
        peer.recv(4096)
        return peer

    def frame_of(self, length):
        return struct.pack("<IBBHQqII", length, 5, 0, 0, 0, 0, 0, 0)

    def test_whoever_is_believed_and_speaks_nonsense(self):
        self.start_head("tcp", "-")
        one = self.member(1)
        self.head.wait_for("joined 1")
        memory, before = strangers.memory_of(self.head.pid), self.state()
        join = field(1, field(1, 1) + field(2, 3) + field(4, b"x" * 16) + field(5, b"node-1"))
        for words in (self.frame_of(1 << 30) + b"x" * 100000, self.frame_of(9 << 20),
                      self.frame_of(0xFFFFFFFF), os.urandom(5000),
                      self.frame_of(len(join)) + join):  # its checksum is none
            strangers.heard_until_closed(self.shaken_and_says(words))
        self.assert_unharmed(before, memory)
        # A part of a frame, for ever: whoever has not joined is not waited for.
        parts = [self.shaken_and_says(self.frame_of(8 << 20) + b"x" * 1000) for _ in range(20)]
        two = self.member(2)
        self.head.wait_for("all here")
        for peer in parts:
            strangers.heard_until_closed(peer)
        self.assertLess(strangers.memory_of(self.head.pid) - memory, GROWTH)
        self.head.say("end 0")
        for peer in (self.head, one, two):
            self.assertEqual(peer.wait(), 0, peer.lines[-5:])
        self.assertEqual(self.head.count("lost"), 0)

    def shaken_and_says(self, words):
        peer = self.shaken(2)
        strangers.say(peer, words)
        return peer

    def test_a_launcher_of_another_version(self):
        self.start_head("tcp", "-")
        peer = self.say(strangers.MAGIC + struct.pack("<HHI", 7, 9, 0))
        said = strangers.heard_until_closed(peer)
        self.assertTrue(said.startswith(PREFACE), said)  # it is told which versions there are
        self.assertRegex(self.head.wait_for("refused"), "version 1 of replication.* 7 to 9")
        self.assertEqual(self.state(), [])

    def test_a_collector_is_no_head(self):
        relay = self.start_muster(["relay", "--listen", "tls:127.0.0.1:0", "--store",
                                   self.directory / "store", "--token-file", self.token])
        self.port = int(wait_until(
            lambda: re.search(r"listens on \S+:(\d+),", relay.output().decode()), 30,
            "a listening collector")[1])
        member = self.member(1, token=self.token)
        self.assertEqual(member.wait(), 64)
        self.assertIn("no head of a run", member.lines[-1])

    # --- the address file

    def test_a_head_is_found_by_its_file(self):
        file = self.directory / "shared/head"
        args = ["head", 2, "tls:127.0.0.1:0", self.token, file]
        killed = Peer(self, args)
        killed.wait_for("listens")
        killed.process.kill()
        killed.wait()
        self.assertTrue(file.exists())
        self.assertEqual(file.stat().st_mode & 0o7777, 0o600)
        member = Peer(self, ["member", 1, 2, f"file:{file}", self.token])
        self.assertIn(str(file), member.wait_for("waiting"))
        head = Peer(self, args)
        head.wait_for("all here")
        head.say("prove")
        head.wait_for("proved")
        self.assertEqual(head.count("proof"), 2)
        self.assertTrue(head.wait_for("proof").endswith("reached"))
        head.say("end 3")
        self.assertEqual([head.wait(), member.wait()], [3, 3])
        self.assertFalse(file.exists())


if __name__ == "__main__":
    muster_test.main()
