"""Nodes on one machine, for tests: a network, UTS and mount namespace for each, joined by a bridge.

A node has an interface with an address of its own, its own host name, /dev/shm, temporary directory
and /etc/hosts, and no ssh client or server.  Links can be cut, nodes be stopped, woken and killed;
`Decoys` adds what misleads a choice of interfaces.  Files are shared by all, as on NFS, but for what
`hide` covers.

What holds a node is a process that ends when its standard input does: so nothing stays when a test is
killed, not even by signal 9.  All processes that carry the test's mark end then, too.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from dataclasses import dataclass
from pathlib import Path

import muster_test
from muster_test import MUSTER, MusterTest, all_processes, carries, wait_until

SSH = ("ssh", "sshd", "rsh", "slogin")
PORT = 29400  # of the head, in a network of its own
# What forbids namespaces, and the value that does.
SYSCTLS = {"user/max_net_namespaces": "0", "user/max_mnt_namespaces": "0",
           "user/max_uts_namespaces": "0", "user/max_user_namespaces": "0",
           "kernel/unprivileged_userns_clone": "0",
           "kernel/apparmor_restrict_unprivileged_userns": "1"}

# Runs in the node's namespaces.  $1 host name, $2 the node's directory, the rest: files to hide.
HOLD = """
set -e
echo "$1" >/proc/sys/kernel/hostname
# The interfaces that /sys shows are those of the namespace that mounted it.
mkdir "$2/cgroup"
if [ -d /sys/fs/cgroup ]; then mount --rbind /sys/fs/cgroup "$2/cgroup"; fi
mount -t sysfs sysfs /sys
if mountpoint -q "$2/cgroup"; then mount --move "$2/cgroup" /sys/fs/cgroup; fi
mount -t tmpfs none /dev/shm
mount --bind "$2/hosts" /etc/hosts
directory=$2
shift 2
for file do mount --bind "$directory/nothing" "$file"; done
ip link set lo up
echo ready
exec cat >/dev/null
"""

# The test is gone when standard input ends: $1 is its mark.
WATCH = """
import sys
sys.path.insert(0, sys.argv[2])
import nodes
sys.stdin.read()
nodes.kill_until_gone(lambda: nodes.marked(sys.argv[1]))
"""


def why_no_namespaces():
    """None where nodes can be made; else what forbids them, with the sysctl where there is one."""
    for tool in ("ip", "unshare", "nsenter"):
        if shutil.which(tool) is None:
            return f"no {tool} on PATH (Debian: iproute2, util-linux)"
    tried = subprocess.run(["unshare", "--net", "--uts", "--mount", "true"], text=True,
                           capture_output=True, check=False)
    if tried.returncode == 0:
        return None
    said = tried.stderr.strip()
    closed = []
    for name, value in SYSCTLS.items():
        file = Path("/proc/sys") / name
        if file.exists() and file.read_text(encoding="utf-8").strip() == value:
            closed.append(f"{name.replace('/', '.')} = {value}")
    if closed:
        return f"no namespaces: {said}; the sysctl {', '.join(closed)} forbids them"
    return f"no namespaces: {said}; no sysctl forbids them, so that a capability is missing " \
           "(CAP_SYS_ADMIN) or a container's seccomp filter denies unshare"


def marked(mark):
    return [each.pid for each in all_processes()
            if each.pid != os.getpid() and each.state not in "ZX"
            and carries(each.pid, "TEST_MARK", mark)]


def kill_until_gone(find, seconds=10.0):
    """Ends all processes that find() gives, and those that come meanwhile."""
    deadline = time.monotonic() + seconds
    while pids := find():
        for pid in pids:
            send(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise AssertionError(f"processes {pids} do not end")
        time.sleep(0.002)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def state_of(pid):
    try:
        return muster_test.Process(pid).state
    except OSError:
        return "X"


@dataclass
class Decoys:
    """What misleads a choice of interfaces; on every node."""
    docker: bool = False       # a bridge docker0, 172.17.0.1/16 everywhere, up and with a port
    dead: bool = False         # an interface up and in one network everywhere, that reaches nobody
    ipv6_only: bool = False    # no IPv4 address but those of loopback and of the other decoys


class Node:
    """One of a World.  `inside` goes before a command, `environment` into its surroundings."""

    def __init__(self, world, rank, host, interface):
        self.world = world
        self.rank = rank
        self.host = host
        self.interface = interface
        self.address = world.address_of(rank)
        self.directory = world.directory / host
        self.runtime_dir = self.directory / "rt"
        self.port = f"port{rank}"  # of the switch
        self.holder = None
        for name in ("rt", "tmp"):
            (self.directory / name).mkdir(parents=True, mode=0o700)
        self.environment = {"MUSTER_RUNTIME_DIR": str(self.runtime_dir),
                            "MUSTER_LEASE_DIR": str(self.directory / "leases"),
                            "TMPDIR": str(self.directory / "tmp")}

    def __repr__(self):
        return f"{self.host} ({self.address})"

    def hold(self):
        """Starts what holds the namespaces; ready() waits for it."""
        (self.directory / "nothing").touch(mode=0o000)
        (self.directory / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", "utf-8")
        found = {os.path.realpath(path) for name in SSH
                 for path in (f"/usr/bin/{name}", f"/usr/sbin/{name}", shutil.which(name) or "")
                 if path and os.path.exists(path)}
        self.holder = hold(["unshare", "--net", "--uts", "--mount", "sh", "-c", HOLD, "holds-a-node",
                            self.host, str(self.directory), *sorted(found)])

    def ready(self):
        line = self.holder.stdout.readline()
        if line != b"ready\n":
            raise unittest.SkipTest(f"no node can be made here: {line!r} "
                                    f"{self.holder.stderr.read().decode(errors='replace')}")
        self.network = os.stat(f"/proc/{self.holder.pid}/ns/net").st_ino

    @property
    def inside(self):
        return entering(self.holder.pid, self.world.test.work_dir)

    def run(self, *words, check=True, timeout=60, env=None):
        """Runs a command in the node to its end; its completed process, with text."""
        done = subprocess.run([*self.inside, *map(str, words)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout, check=False,
                              env=self.world.test.environment({**self.environment, **(env or {})}))
        if check and done.returncode != 0:
            raise AssertionError(f"{self}: {words} ended with {done.returncode}: {done.stderr}")
        return done

    def ip(self, *lines):
        ip_batch(self.holder.pid, lines)

    def hosts(self, names):
        """What /etc/hosts says from now on: {name: address}."""
        text = "127.0.0.1 localhost\n::1 localhost\n"
        text += "".join(f"{address} {name}\n" for name, address in names.items())
        (self.directory / "hosts").write_text(text, "utf-8")  # in place: it is a mount's source

    def hide(self, path):
        """That directory is empty on this node, and what is written there is its own."""
        self.run("mount", "-t", "tmpfs", "none", path)

    def processes(self):
        """Pids of all that run in its network, without what holds it."""
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and os.stat(f"/proc/{name}/ns/net").st_ino == self.network:
                    found.append(int(name))
            except OSError:
                pass
        return [pid for pid in found if pid != self.holder.pid and state_of(pid) not in "ZX"]

    # ---- what happens to nodes ----

    def cut(self):
        """Pulls its cable; nobody is told."""
        self.world.switch_ip(f"link set {self.port} down")

    def heal(self):
        self.world.switch_ip(f"link set {self.port} up")

    def freeze(self):
        """Stops all its processes, as a host does that pauses a virtual machine."""
        stopped = set()
        deadline = time.monotonic() + 20.0
        # In D it waits in the kernel, as a shell does in vfork for a child that was stopped before
        # its exec; it stops before it runs anything again.
        while running := [pid for pid in self.processes()
                          if pid not in stopped or state_of(pid) not in "TtD"]:
            for pid in running:
                send(pid, signal.SIGSTOP)
                stopped.add(pid)
            if time.monotonic() > deadline:
                raise AssertionError(f"{self}: processes {running} do not stop")
        self.stopped = stopped

    def thaw(self):
        for pid in self.stopped:
            send(pid, signal.SIGCONT)

    def kill(self):
        """Kills all its processes; its kernel stays, and closes their connections."""
        kill_until_gone(self.processes)

    def lose_power(self):
        """Nothing of it is heard again: not even the ends of its connections."""
        self.cut()
        self.kill()


def hold(argv):
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, start_new_session=True)


def entering(pid, directory):
    spaces = [f"--{name}=/proc/{pid}/ns/{file}"
              for name, file in (("net", "net"), ("uts", "uts"), ("mount", "mnt"))]
    return ("nsenter", *spaces, f"--wdns={directory}")


def ip_batch(pid, lines):
    done = subprocess.run(["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "-batch", "-"],
                          input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"ip: {lines}: {done.stderr}")


class World:
    """N nodes and their switch; ends with the test."""

    def __init__(self, test, count, decoys=Decoys(), interfaces=("eth0",), names=True):
        """`interfaces`: of node k the k-th, over and over.  `names`: whether nodes know each other's
        host names."""
        why = why_no_namespaces()
        if why:
            raise unittest.SkipTest(why)
        self.test = test
        self.decoys = decoys
        self.directory = test.directory / "nodes"
        self.directory.mkdir()
        self.holders = []
        test.addCleanup(self.close)
        self.watch = hold([sys.executable, "-B", "-c", WATCH, test.mark,
                           os.path.dirname(os.path.abspath(__file__))])
        self.switch = hold(["unshare", "--net", "sh", "-c", "echo ready; exec cat"])
        self.holders = [self.watch, self.switch]
        self.nodes = [Node(self, rank, f"node-{chr(97 + rank)}" if rank < 26 else f"node-{rank}",
                           interfaces[rank % len(interfaces)]) for rank in range(count)]
        for node in self.nodes:
            node.hold()
            self.holders.append(node.holder)
        self.switch.stdout.readline()
        for node in self.nodes:
            node.ready()
        self.wire()
        if names:
            known = {node.host: node.address for node in self.nodes}
            for node in self.nodes:
                node.hosts(known)

    def __iter__(self):
        return iter(self.nodes)

    def __getitem__(self, rank):
        return self.nodes[rank]

    def __len__(self):
        return len(self.nodes)

    def address_of(self, rank):
        return f"fd77::{rank + 10:x}" if self.decoys.ipv6_only else f"10.77.0.{rank + 10}"

    def switch_ip(self, *lines):
        ip_batch(self.switch.pid, lines)

    def wire(self):
        lines = ["link add switch type bridge", "link set switch up"]
        for node in self.nodes:
            lines += [f"link add {node.port} type veth peer name {node.interface} "
                      f"netns {node.holder.pid}",
                      f"link set {node.port} master switch up"]
            if self.decoys.dead:  # a cable that ends in the switch's room, in no bridge
                lines += [f"link add dead{node.rank} type veth peer name eth9 "
                          f"netns {node.holder.pid}", f"link set dead{node.rank} up"]
        self.switch_ip(*lines)
        for node in self.nodes:
            length = 64 if self.decoys.ipv6_only else 24
            nodad = "nodad" if self.decoys.ipv6_only else ""
            lines = []
            if self.decoys.docker:
                lines += ["link add docker0 type bridge", "link set docker0 up",
                          "address add 172.17.0.1/16 dev docker0",
                          "link add vethc type veth peer name vethd",
                          "link set vethc up", "link set vethd master docker0 up"]
            if self.decoys.dead:
                lines += [f"address add 10.9.0.{node.rank + 10}/24 dev eth9", "link set eth9 up"]
            lines += [f"address add {node.address}/{length} dev {node.interface} {nodad}",
                      f"link set {node.interface} up"]
            node.ip(*lines)

    def close(self):
        kill_until_gone(lambda: marked(self.test.mark))
        for holder in self.holders:
            holder.kill()
            holder.wait()
            for stream in (holder.stdin, holder.stdout, holder.stderr):
                stream.close()
        self.holders = []


class HostNode:
    """A launcher's surroundings where there are no namespaces: directories of its own."""

    inside = ()
    address = "127.0.0.1"

    def __init__(self, test, rank):
        self.rank = rank
        self.host = os.uname().nodename
        self.directory = test.directory / f"nodes/launcher-{rank}"
        self.runtime_dir = self.directory / "rt"
        for name in ("rt", "tmp"):
            (self.directory / name).mkdir(parents=True, mode=0o700)
        self.environment = {"MUSTER_RUNTIME_DIR": str(self.runtime_dir),
                            "MUSTER_LEASE_DIR": str(test.directory / "leases"),
                            "TMPDIR": str(self.directory / "tmp")}


def host_nodes(test, count):
    """Several launchers of this host: what can be tried where namespaces are forbidden."""
    return [HostNode(test, rank) for rank in range(count)]


class NodesTest(MusterTest):
    """Runs of several launchers."""

    def make_world(self, count, **options):
        self.world = World(self, count, **options)
        return self.world

    def token(self):
        path = self.directory / "token"
        if not path.exists():
            path.write_text("a token of this test, long enough to be one: 0123456789\n", "utf-8")
            path.chmod(0o600)
        return path

    def joining(self, node, count, head=None, token=None):
        """The words that make a launcher that node of a run."""
        address = head or f"{bracketed(self.head_address)}:{PORT}"
        return ["--nodes", count, "--node-rank", node.rank, "--rendezvous", address, "--token-file",
                token or self.token()]

    def start_node(self, node, args, count, head=None, token=None, env=None, **popen):
        """`muster run` of one node, with `args` after what it needs to join."""
        return self.start_muster(
            ["run", *self.joining(node, count, head, token), *args],
            env={**node.environment, **(env or {})}, prefix=node.inside, **popen)

    def start_nodes(self, args, nodes=None, **options):
        """All launchers of a run, the head first; a list of Running."""
        nodes = list(nodes or self.world)
        self.head_address = nodes[0].address
        return [self.start_node(node, args, len(nodes), **options) for node in nodes]

    def wait_nodes(self, launchers, timeout=60.0):
        """Their results; what each said is told when one does not end."""
        deadline = time.monotonic() + timeout
        return [each.wait(max(0.1, deadline - time.monotonic())) for each in launchers]

    def run_nodes(self, args, timeout=60.0, **options):
        return self.wait_nodes(self.start_nodes(args, **options), timeout)

    def assert_codes(self, results, code):
        """Every launcher ended with that code."""
        self.assertEqual([each.code for each in results], [code] * len(results),
                         "\n".join(f"=== node {rank}: {each}" for rank, each in enumerate(results)))

    def assert_nodes_clean(self, nodes=None):
        """Nothing runs, and no runtime file is left, on any node."""
        self.assert_nothing_left()
        for node in nodes or self.world:
            self.assertEqual(sorted(map(str, node.runtime_dir.rglob("*"))), [], node)


def bracketed(address):
    return f"[{address}]" if ":" in address else address


__all__ = ["Decoys", "MUSTER", "Node", "NodesTest", "World", "host_nodes", "wait_until",
           "why_no_namespaces"]
