"""The tools of the fault tests do what they are told: a fault that does not happen proves nothing."""

import os
import socket
import struct
import subprocess
import threading

import chaos
import muster_test
from muster_test import MusterTest, PROGRAMS_DIR, PYTHON, program


class Echo:
    """Sends back what comes, on a free port."""

    def __init__(self, test):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "tcp:127.0.0.1:%d" % self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        test.addCleanup(self.listener.close)

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(peer,), daemon=True).start()

    def answer(self, peer):
        with peer:
            try:
                while data := peer.recv(1 << 16):
                    peer.sendall(data)
                peer.sendall(b"end")
            except OSError:
                pass


class Network(MusterTest):
    def setUp(self):
        super().setUp()
        self.proxy = chaos.Proxy(self, Echo(self).address)

    def connect(self):
        host, port = self.proxy.address[4:].split(":")
        peer = socket.create_connection((host, int(port)), 30)
        self.addCleanup(peer.close)
        return peer

    def echoed(self, data, peer=None):
        peer = peer or self.connect()

        cuts = []

        def send():
            try:
                peer.sendall(data)
            except OSError as cut:  # who meets it first is told; recv() may see a mere end then
                cuts.append(cut)

        sender = threading.Thread(target=send)
        sender.start()
        back = b""
        while len(back) < len(data) and (more := peer.recv(1 << 16)):
            back += more
        sender.join()
        if cuts:
            raise cuts[0]
        return back

    def test_bytes_pass_unchanged_and_so_do_ends(self):
        data = os.urandom(3 << 20)
        peer = self.connect()
        self.assertEqual(self.echoed(data, peer), data)
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(peer.recv(10), b"end")
        self.assertEqual((self.proxy.stats()["up"], self.proxy.stats()["down"]),
                         (len(data), len(data) + 3))

    def test_segments_delay_and_rate_change_no_byte(self):
        data = os.urandom(40_000)
        for command in ("segment 1", "delay 30", "rate 200K"):
            self.proxy(command)
            self.assertEqual(self.echoed(data), data)

    def test_bits_are_flipped(self):
        self.proxy("up flip 100K")
        data = bytes(1 << 20)
        flipped = sum(bin(byte).count("1") for byte in self.echoed(data) if byte)
        self.assertEqual(flipped, self.proxy.stats()["flips"])
        self.assertGreater(flipped, 2)

    def test_connections_are_reset_after_some_bytes(self):
        self.proxy("reset 10000 20000")
        with self.assertRaises(OSError):
            self.echoed(bytes(1 << 20))
        self.assertEqual(self.proxy.stats()["resets"], 1)
        self.assertLessEqual(self.proxy.stats()["up"] + self.proxy.stats()["down"], 20_000)

    def test_the_peer_sees_an_end_after_some_bytes(self):
        self.proxy("half_close 1000 1000")
        peer = self.connect()
        peer.sendall(bytes(1000))
        back = b""
        while more := peer.recv(1 << 16):
            back += more
        self.assertEqual(back, bytes(1000) + b"end")

    def test_connections_are_refused(self):
        self.proxy("refuse 100")
        with self.assertRaises(OSError):
            if self.echoed(b"x") == b"":
                raise OSError("an end")
        self.assertEqual(self.proxy.stats()["refused"], 1)

    def test_what_is_held_passes_later(self):
        peer = self.connect()
        self.proxy("down hold on")
        peer.sendall(b"hello")
        peer.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            peer.recv(10)
        self.proxy("hold off")
        peer.settimeout(30)
        self.assertEqual(peer.recv(10), b"hello")

    def test_a_cut_resets_all(self):
        peer = self.connect()
        self.assertEqual(self.echoed(b"x", peer), b"x")
        self.proxy("cut")
        with self.assertRaises(OSError):
            while peer.recv(10):
                pass
            raise OSError("an end")


class Calls(MusterTest):
    def fails(self, script, **orders):
        """The lines of the script's output and of the log, with every failure in `orders`."""
        log = self.directory / "log"
        log.unlink(missing_ok=True)
        variables = {f"FAIL_{name.upper()}": str(value) for name, value in orders.items()}
        done = subprocess.run(
            [PYTHON, "-c", script], cwd=self.work_dir, capture_output=True, text=True, check=False,
            env=self.environment({"LD_PRELOAD": PROGRAMS_DIR / "fail_calls.so",
                                  "FAIL_PROGRAM": "python3", "FAIL_BELOW": self.work_dir,
                                  "FAIL_LOG": log, **variables}))
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.split(), log.read_text().splitlines() if log.exists() else []

    WRITES = ("import os\n"
              "file = os.open('f', os.O_WRONLY | os.O_CREAT)\n"
              "for _ in range(5):\n"
              "  try: print(os.write(file, bytes(10)))\n"
              "  except OSError as error: print(error.errno)\n")

    def test_the_nth_call_fails(self):
        self.assertEqual(self.fails(self.WRITES, calls="write", how="EIO", **{"from": 3}),
                         (["10", "10", "5", "10", "10"], [f"write {self.work_dir}/f"]))
        seen, log = self.fails(self.WRITES, calls="write", how="ENOSPC", count=2)
        self.assertEqual((seen, len(log)), (["28", "28", "10", "10", "10"], 2))
        seen, log = self.fails(self.WRITES, calls="write", how="short", every=2)
        self.assertEqual((seen, len(log)), (["5", "10", "5", "10", "5"], 3))

    def test_only_below_that_path_and_in_that_program(self):
        for orders in ({"below": "/nowhere"}, {"program": "muster"}, {"calls": "fsync"}):
            seen, log = self.fails(self.WRITES, **{"calls": "write", **orders})
            self.assertEqual((seen, log), (["10"] * 5, []))

    def test_every_call_can_fail(self):
        script = ("import os\n"
                  "file = os.open('g', os.O_WRONLY | os.O_CREAT)\n"
                  "for call in (lambda: os.open('new', os.O_WRONLY | os.O_CREAT),\n"
                  "             lambda: os.pwrite(file, b'x', 0), lambda: os.writev(file, [b'x']),\n"
                  "             lambda: os.fdatasync(file), lambda: os.fsync(file),\n"
                  "             lambda: os.ftruncate(file, 1),\n"
                  "             lambda: os.posix_fallocate(file, 0, 1),\n"
                  "             lambda: os.rename('g', 'h'), lambda: os.unlink('g')):\n"
                  "  try: call(); print(0)\n"
                  "  except OSError as error: print(error.errno)\n")
        seen, log = self.fails(script, how="EIO", every=1, **{"from": 2},
                               calls="open,write,fdatasync,fsync,ftruncate,rename,unlink")
        self.assertEqual(seen, ["5", "5", "5", "5", "5", "5", "0", "5", "5"])
        self.assertEqual([line.split()[0] for line in log],
                         ["open", "write", "write", "fdatasync", "fsync", "ftruncate", "rename",
                          "unlink"])


class Clock(MusterTest):
    def test_the_wall_clock_steps_and_the_other_does_not(self):
        file = self.directory / "offset"
        file.write_bytes(struct.pack("<q", -3_600_500_000_000))
        script = "import time; print(time.time(), time.monotonic())"
        plain, moved = ([float(word) for word in subprocess.run(
            [PYTHON, "-c", script], capture_output=True, check=True,
            env=self.environment(variables)).stdout.split()] for variables in (
                {}, {"LD_PRELOAD": PROGRAMS_DIR / "step_clock.so", "STEP_PROGRAM": "python3",
                     "STEP_FILE": file}))
        self.assertAlmostEqual(moved[0] - plain[0], -3600.5, delta=30)
        self.assertAlmostEqual(moved[1] - plain[1], 0, delta=30)


class Payload(MusterTest):
    def check(self, *options):
        done = subprocess.run([program("payload_check"), self.directory / "stored", "--rank", "3",
                               *options], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    def test_one_wrong_byte_is_found_outside_of_gaps(self):
        stored = self.directory / "stored"
        with open(stored, "wb") as file:
            subprocess.run([program("flood"), "--bytes", "3M", "--rank", "3"], stdout=file,
                           check=True)
        self.assertEqual(self.check("--length", "3M"), (0, "ok 3145728"))
        with open(stored, "r+b") as file:
            file.seek(2_000_003)
            byte = file.read(1)[0]
            file.seek(2_000_003)
            file.write(bytes([byte ^ 4]))
        self.assertEqual(self.check(), (1, "differs at offset 2000003"))
        self.assertEqual(self.check("--gap", "2000003-2000004"), (0, "ok 3145727"))
        self.assertEqual(self.check("--gap", "0-2000003")[0], 1)
        self.assertEqual(self.check("--gap", "2000004-9000000")[0], 1)
        os.truncate(stored, 1_000_000)
        self.assertEqual(self.check("--length", "3M"), (1, "has 1000000 bytes, not 3145728"))

    def test_odd_output_is_the_same_for_a_seed(self):
        for kind in ("lines-never", "progress", "terminal", "not-utf8", "zeros"):
            one, two, other = (subprocess.run([program("odd_output"), kind, "--bytes", "100K",
                                               "--seed", seed], capture_output=True,
                                              check=True).stdout for seed in "112")
            self.assertEqual(len(one), 100 << 10)
            self.assertEqual(one, two)
            self.assertNotEqual(one, other)


if __name__ == "__main__":
    muster_test.main()
