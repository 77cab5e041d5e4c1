"""Runs of two nodes among decoys: which addresses and interfaces they take, with and without MPI.

Each node's interface has a name of its own; docker0 has the same address everywhere."""

import json
import unittest

import muster_test
from nodes import Decoys, NodesTest

NAMES = ("eth0", "ens3")


class Network(NodesTest):
    def run_program(self, backend, program, *args, **options):
        """The plan of a run that has succeeded on both nodes."""
        results = self.run_nodes(["-n", 2, "--backend", backend, *args, "--", *program], **options)
        self.assert_codes(results, 0)
        self.assert_nodes_clean()
        runs = sorted((self.directory / "runs").iterdir())
        self.stdout = results[0].stdout
        return json.loads((runs[-1] / "plan.json").read_text(encoding="utf-8"))

    def exchange(self):
        return [muster_test.program("mpi_exchange")]

    def taken(self, plan):
        return [(node["interface"], node["address"]) for node in plan["network"]["nodes"]]

    def test_docker0_is_not_taken(self):
        self.make_world(2, decoys=Decoys(docker=True), interfaces=NAMES)
        plan = self.run_program("mpi", self.exchange())
        self.assertEqual(self.taken(plan), [("eth0", "10.77.0.10"), ("ens3", "10.77.0.11")])
        self.assertEqual(plan["network"]["cidrs"], ["10.77.0.0/24"])
        self.assertIn({"subject": "not used: 172.17.0.0/16 (docker0)", "value": "",
                       "why": "all nodes: several nodes have it"}, plan["reasons"])
        self.assertIn("rank 0 of 4 got 8388608 bytes, 0 wrong", self.stdout)

    def test_ipv6_alone(self):
        world = self.make_world(2, decoys=Decoys(docker=True, ipv6_only=True), interfaces=NAMES)
        for node in world:
            node.ip("address add fd99::1/64 dev docker0 nodad")
        plan = self.run_program("mpi", self.exchange())
        self.assertEqual(self.taken(plan), [("eth0", "fd77::a"), ("ens3", "fd77::b")])
        self.assertIn("rank 0 of 4 got 8388608 bytes, 0 wrong", self.stdout)
        plan = self.run_program("direct", ["sh", "-c", "echo $MASTER_ADDR $NCCL_SOCKET_IFNAME "
                                                       "$GLOO_SOCKET_IFNAME $NCCL_SOCKET_FAMILY"])
        self.assertIn("[0] fd77::a =eth0 eth0 AF_INET6", self.stdout)

    def test_the_persons_word_wins(self):
        world = self.make_world(2, interfaces=NAMES)
        for node in world:
            node.ip(f"address add 10.88.0.{node.rank + 1}/24 dev {node.interface}")
        plan = self.run_program("direct", ["true"], "--set", "network.interfaces=10.88.0.0/16")
        self.assertEqual(self.taken(plan), [("eth0", "10.88.0.1"), ("ens3", "10.88.0.2")])
        results = self.run_nodes(["-n", 1, "--backend", "direct", "--set",
                                  "network.interfaces=eth0", "--", "true"])
        self.assertEqual(results[0].code, 69, results[0])
        self.assertIn("no other node can use an address of node-b: 10.77.0.11 (ens3): "
                      "network.interfaces does not name it; 10.88.0.2 (ens3)", results[0].stderr)


if __name__ == "__main__":
    unittest.main()
