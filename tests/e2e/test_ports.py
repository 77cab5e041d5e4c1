"""MASTER_PORT, and the port beside it: free when rank 0 binds it, and no other run's."""

import ctypes
import fcntl
import json
import os
import socket
import struct
import threading
import unittest
from pathlib import Path

import muster_test
from muster_test import MusterTest, program

ROUNDS = int(os.environ.get("MUSTER_ROUNDS", "5"))
CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
PORT_SETTINGS = Path("/proc/sys/net/ipv4")
LIBC = ctypes.CDLL(None, use_errno=True)


def meeting(*args):
    """Two ranks that meet on MASTER_PORT; rank 0 prints the port."""
    return ["run", "-n", "2", "--backend", "direct", "--console", "none", "--",
            program("meets_at_master_port"), *args]


def service_port_of(run):
    plan = json.loads((run / "plan.json").read_text("utf-8"))
    return int(plan["environment"]["common"]["AZ_BATCH_MASTER_NODE"].rpartition(":")[2])


def system_call(name, *args):
    if getattr(LIBC, name)(*args) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


class PortTest(MusterTest):
    def meet_together(self, count, *args):
        """The ports of so many runs that were started at once; all of them must succeed."""
        before = set(self.run_directories())
        for running in [self.start_muster(meeting(*args)) for _ in range(count)]:
            running.process.wait(120)
            self.assertEqual(running.process.returncode, 0, running.output().decode())
        runs = set(self.run_directories()) - before
        self.assertEqual(len(runs), count)
        self.service_ports = [service_port_of(run) for run in runs]
        return [int((run / "ranks/00000/attempt-0/stdout.log").read_text("ascii")) for run in runs]


class OrdinaryNode(PortTest):
    def test_two_runs_together_have_two_ports(self):
        for _ in range(ROUNDS):
            ports = self.meet_together(2, "--hold", "0.05")
            self.assertEqual(len({*ports, *self.service_ports}), 4)

    def test_a_port_is_none_that_the_kernel_gives_away(self):
        first, last = map(int, (PORT_SETTINGS / "ip_local_port_range").read_text().split())
        if last - first > 50000:
            self.skipTest("on this node the kernel gives away nearly every port")
        for port in self.meet_together(3):
            self.assertFalse(first <= port <= last, port)

    def run_with_port(self, port, count=2, more=""):
        path = self.work_dir / "run.yaml"
        path.write_text(f"command: exec '{program('meets_at_master_port')}'\n"
                        f"process_count_per_node: {count}\ndistributed_backend: direct\n"
                        f"environment:\n  variables:\n    MASTER_PORT: {port}\n{more}", "utf-8")
        return self.run_muster(["run", path])

    def test_a_port_of_the_config_that_is_taken_is_refused_before_the_start(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            result = self.run_with_port(port)
            self.assert_code(result, 69)
            self.assertIn(f"MASTER_PORT: cannot use port {port} on this node: a program uses it",
                          result.stderr)
            self.assertIn("run.yaml:6:18", result.stderr)
            self.assertIn("hint: leave it out", result.stderr)
            self.assertEqual(self.run_directories(), [])
        result = self.run_with_port(port)
        self.assert_code(result, 0)
        self.assertEqual(result.rank_bytes(0), f"{port}\n".encode())

    def test_a_port_of_the_config_that_another_run_holds_is_refused(self):
        running = self.start_muster(meeting("--import", "600"))
        path = muster_test.wait_until(
            lambda: running.run_directory and running.run_directory / "plan.json", 30, "a run")
        plan = muster_test.wait_until(lambda: path.is_file() and path.read_text("utf-8"), 30,
                                      "its plan")
        port = json.loads(plan)["environment"]["common"]["MASTER_PORT"]
        result = self.run_with_port(port)
        self.assert_code(result, 69)
        self.assertIn(f"cannot use port {port} on this node: another run of muster has it",
                      result.stderr)
        running.process.kill()  # the kernel frees what a dead launcher held
        running.process.wait()
        self.assert_nothing_left()
        self.assert_code(self.run_with_port(port), 0)

    def test_a_port_that_no_rank_will_bind_here_is_not_looked_at(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            path = self.work_dir / "run.yaml"
            elsewhere = ["MASTER_ADDR: 192.0.2.1", "TORCHELASTIC_USE_AGENT_STORE: 'True'"]
            for count, more in [(1, ""), *((2, f"    {each}\n") for each in elsewhere)]:
                path.write_text("command: 'true'\ndistributed_backend: direct\n"
                                f"process_count_per_node: {count}\n"
                                f"environment:\n  variables:\n    MASTER_PORT: {port}\n{more}",
                                "utf-8")
                self.assert_code(self.run_muster(["run", path]), 0)
            for here in ("127.0.0.1", "localhost", socket.gethostname()):
                result = self.run_with_port(port, more=f"    MASTER_ADDR: {here}\n")
                self.assert_code(result, 69)

    def test_a_port_that_is_none_is_an_error_of_the_config(self):
        for port in ("0", "65536", "torch"):
            result = self.run_with_port(port)
            self.assert_code(result, 65)
            self.assertIn(f'MASTER_PORT is not a port: "{port}"', result.stderr)


class NarrowNode(PortTest):
    """A network namespace of the test's own, with hardly any port to choose from."""

    @classmethod
    def setUpClass(cls):
        cls.outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        cls.addClassCleanup(os.close, cls.outside)
        try:
            cls.enter_new_namespace()
        except OSError as error:
            raise unittest.SkipTest(f"no network namespace of its own: {error}") from None
        cls.addClassCleanup(system_call, "setns", cls.outside, CLONE_NEWNET)

    @staticmethod
    def enter_new_namespace():
        """Nothing is left there of the connections of an earlier round."""
        system_call("unshare", CLONE_NEWNET)
        with socket.socket() as any_socket:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))

    def setUp(self):
        super().setUp()
        self.enter_new_namespace()

    def kernel_gives_away(self, first, last):
        (PORT_SETTINGS / "ip_local_port_range").write_text(f"{first} {last}")

    def test_two_runs_share_four_ports(self):
        for _ in range(ROUNDS):
            self.enter_new_namespace()
            self.kernel_gives_away(1024, 65531)
            ports = self.meet_together(2, "--hold", "0.05")
            self.assertEqual(sorted(ports + self.service_ports), list(range(65532, 65536)))

    def test_eight_runs_share_sixteen_ports(self):
        for _ in range(max(1, ROUNDS // 5)):
            self.enter_new_namespace()
            self.kernel_gives_away(1024, 65519)
            ports = self.meet_together(8, "--import", "0.3")
            self.assertEqual(sorted(ports + self.service_ports), list(range(65520, 65536)))

    def test_a_program_that_takes_every_port_it_is_given_takes_no_runs_port(self):
        self.kernel_gives_away(40000, 40063)
        stop = threading.Event()
        taken = []

        def take_ports():  # all of them, again and again, while rank 0 is still importing
            while not stop.is_set():
                held = []
                try:
                    while not stop.is_set():
                        held.append(socket.create_server(("127.0.0.1", 0)))
                except OSError:
                    taken.append(len(held))
                for server in held:
                    server.close()

        taker = threading.Thread(target=take_ports)
        taker.start()
        try:
            for _ in range(ROUNDS):
                self.meet_together(2, "--import", "0.1")
        finally:
            stop.set()
            taker.join()
        self.assertEqual(max(taken), 64, "it never had all of them")

    def test_when_every_port_is_given_away_two_runs_still_differ(self):
        self.kernel_gives_away(1024, 65535)
        self.assertEqual(len(set(self.meet_together(2, "--hold", "0.05"))), 2)

    def test_without_any_port_the_error_says_so(self):
        (PORT_SETTINGS / "ip_local_reserved_ports").write_text("1024-65535")
        result = self.run_muster(meeting())
        self.assert_code(result, 69)
        self.assertIn("MASTER_PORT", result.stderr)
        self.assertEqual(self.run_directories(), [])


if __name__ == "__main__":
    muster_test.main()
