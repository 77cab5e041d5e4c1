"""The nodes that tests make on one machine are what they claim: a fault that does not happen proves
nothing."""

import os
import signal
import subprocess
import sys
import time

import muster_test
import nodes
from muster_test import PYTHON, is_alive, wait_until
from nodes import Decoys, NodesTest

# Connects to $1:$2 and says what came; ends after $3 s.
DIAL = ("import socket, sys\n"
        "peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), float(sys.argv[3]))\n"
        "print(peer.recv(100).decode())\n")
# Answers every connection with its host name.
ANSWER = ("import os, socket, sys\n"
          "family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET\n"
          "listener = socket.create_server((sys.argv[1], 4000), family=family)\n"
          "print('up', flush=True)\n"
          "while True:\n"
          "    peer = listener.accept()[0]\n"
          "    peer.sendall(os.uname().nodename.encode())\n"
          "    peer.close()\n")


class Nodes(NodesTest):
    def answer_on(self, node):
        server = subprocess.Popen([*node.inside, PYTHON, "-c", ANSWER, node.address],
                                  env=self.environment(node.environment), stdout=subprocess.PIPE,
                                  start_new_session=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(muster_test.end, server)
        self.assertEqual(server.stdout.readline(), b"up\n")
        return server

    def dial(self, node, address, seconds=20):
        """What answered at that address; None when nothing did."""
        done = node.run(PYTHON, "-c", DIAL, address, 4000, seconds, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def test_nodes_have_names_and_reach_each_other(self):
        world = self.make_world(3)
        self.assertEqual([node.run("uname", "-n").stdout.strip() for node in world],
                         ["node-a", "node-b", "node-c"])
        self.answer_on(world[2])
        self.assertEqual([self.dial(node, world[2].address) for node in world], ["node-c"] * 3)
        self.assertEqual(self.dial(world[0], "node-c"), "node-c")
        # What /sys shows is the node's, too.
        self.assertEqual(sorted(world[0].run("ls", "/sys/class/net").stdout.split()),
                         ["eth0", "lo"])
        self.assertTrue(world[0].run("ls", "/sys/fs/cgroup").stdout.split())

    def test_nodes_share_files_but_not_what_is_their_own(self):
        world = self.make_world(2)
        (self.work_dir / "seen").write_text("by all", "utf-8")
        (self.work_dir / "own").mkdir()
        world[1].hide(self.work_dir / "own")
        for node in world:
            self.assertEqual(node.run("cat", "seen").stdout, "by all")
            node.run("sh", "-c", 'uname -n >/dev/shm/name; uname -n >own/name')
        for node in world:
            self.assertEqual(node.run("cat", "/dev/shm/name", "own/name").stdout,
                             f"{node.host}\n" * 2)
        self.assertFalse(os.path.exists("/dev/shm/name"))
        self.assertEqual((self.work_dir / "own/name").read_text("utf-8"), "node-a\n")

    def test_nodes_have_no_ssh(self):
        world = self.make_world(1)
        for name in ("ssh", "sshd", "rsh"):
            self.assertNotEqual(world[0].run("sh", "-c", f"command -v {name}", check=False).returncode,
                                0)

    def test_a_cut_link_is_silent_and_heals(self):
        world = self.make_world(2)
        self.answer_on(world[1])
        world[1].cut()
        begin = time.monotonic()
        self.assertIsNone(self.dial(world[0], world[1].address, 0.5))
        self.assertGreater(time.monotonic() - begin, 0.4)  # no refusal: nothing at all
        world[1].heal()
        self.assertEqual(self.dial(world[0], world[1].address), "node-b")

    def test_a_frozen_node_goes_on_and_a_killed_one_does_not(self):
        world = self.make_world(2)
        ticks = [self.directory / node.host / "ticks" for node in world]
        pids = []
        for node, file in zip(world, ticks):
            file.parent.mkdir()
            # A grandchild in a session of its own is as much the node's.
            node.run("sh", "-c", f"setsid sh -c 'while :; do echo >>{file}; sleep 0.01; done' "
                                 ">/dev/null 2>&1 & exit 0")
            wait_until(file.exists, 20)
            self.assertNotEqual(node.processes(), [])
            pids += node.processes()
        world[1].freeze()
        before = [file.stat().st_size for file in ticks]
        wait_until(lambda: ticks[0].stat().st_size > before[0] + 5, 20)
        self.assertEqual(ticks[1].stat().st_size, before[1])
        world[1].thaw()
        wait_until(lambda: ticks[1].stat().st_size > before[1] + 5, 20)
        world[1].kill()
        self.assertEqual(world[1].processes(), [])
        size = ticks[1].stat().st_size
        before = ticks[0].stat().st_size
        wait_until(lambda: ticks[0].stat().st_size > before + 5, 20)
        self.assertEqual(ticks[1].stat().st_size, size)

    def test_decoys_are_there(self):
        world = self.make_world(2, decoys=Decoys(docker=True, dead=True),
                                interfaces=("eth0", "ens5"))
        for node, interface in zip(world, ("eth0", "ens5")):
            shown = node.run("ip", "-br", "address").stdout
            self.assertRegex(shown, r"(?m)^docker0 +(UP|UNKNOWN) +172\.17\.0\.1/16")
            self.assertRegex(shown, r"(?m)^eth9@\S+ +UP +10\.9\.0\.")
            self.assertRegex(shown, rf"(?m)^{interface}@\S+ +UP +{node.address}/24")
        self.answer_on(world[1])
        self.assertEqual(self.dial(world[0], world[1].address), "node-b")
        self.assertIsNone(self.dial(world[0], "10.9.0.11", 0.5))

    def test_ipv6_only(self):
        world = self.make_world(2, decoys=Decoys(ipv6_only=True))
        self.assertNotIn("inet ", world[0].run("ip", "address", "show", "eth0").stdout)
        self.answer_on(world[1])
        self.assertEqual(self.dial(world[0], world[1].address), "node-b")

    def test_nothing_stays_when_a_test_is_killed(self):
        script = ("import sys, time, unittest\n"
                  "import nodes\n"
                  "class Killed(nodes.NodesTest):\n"
                  "    def test_it(self):\n"
                  "        world = self.make_world(2)\n"
                  "        for node in world:\n"
                  "            node.run('sh', '-c', 'setsid sleep 600 >/dev/null 2>&1 & exit 0')\n"
                  "        print(*[each.pid for each in world.holders], flush=True)\n"
                  "        print(*[pid for node in world for pid in node.processes()], flush=True)\n"
                  "        print(self.directory, flush=True)\n"
                  "        time.sleep(600)\n"
                  "unittest.main()\n")
        test = subprocess.Popen([sys.executable, "-B", "-c", script], stdout=subprocess.PIPE,
                                text=True, env=self.environment(), start_new_session=True)
        self.addCleanup(test.stdout.close)
        self.addCleanup(muster_test.end, test)
        lines = [test.stdout.readline().strip() for _ in range(3)]
        self.addCleanup(subprocess.run, ["rm", "-rf", lines[2]], check=False)
        pids = [int(pid) for line in lines[:2] for pid in line.split()]
        self.assertEqual(len(pids), 6, lines)
        self.assertTrue(all(map(is_alive, pids)))
        test.send_signal(signal.SIGKILL)
        wait_until(lambda: not any(map(is_alive, pids)), 20, f"the end of {pids}")


class Forbidden(muster_test.MusterTest):
    @muster_test.needs_root
    def test_what_forbids_namespaces_is_named(self):
        script = "import nodes; print(nodes.why_no_namespaces())"
        done = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", PYTHON, "-B", "-c", script],
                              env=self.environment(), cwd="/", text=True, capture_output=True,
                              check=True)
        self.assertRegex(done.stdout, r"no namespaces: unshare: .*(the sysctl \S+ = |CAP_SYS_ADMIN)")


if __name__ == "__main__":
    why = nodes.why_no_namespaces()
    if why:
        print(f"skipped: {why}", file=sys.stderr)
        sys.exit(muster_test.SKIPPED)
    muster_test.main()
