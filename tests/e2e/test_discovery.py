"""What the node has, as far as this process may use it: under taskset, in a cpuset cgroup, with a
CPU quota, with a user's override file; and of machines that are not here."""

import contextlib
import json
import os
import shutil
from pathlib import Path

from muster_test import MusterTest, main, wait_until

V1 = Path("/sys/fs/cgroup")
DATA = Path(__file__).resolve().parent.parent / "data"
SHOW = ["sh", "-c", "grep -E '^(Cpus|Mems)_allowed_list' /proc/self/status; "
                    "echo threads $OMP_NUM_THREADS"]


def own_cpus():
    return sorted(os.sched_getaffinity(0))


class DiscoveryTest(MusterTest):
    def topo(self, *options, prefix=(), env=None):
        result = self.run_muster(["topo", "--format", "json", *options], prefix=prefix, env=env)
        self.assert_code(result, 0)
        return json.loads(result.stdout)

    def ranks(self, count, prefix=()):
        """What each rank reads of itself, by rank."""
        result = self.run_muster(["run", "-n", count, "--backend", "direct", "--", *SHOW],
                                 prefix=prefix)
        self.assert_code(result, 0)
        return [result.rank_file(rank).read_text() for rank in range(count)]

    @contextlib.contextmanager
    def cgroup(self, controller, **values):
        """A cgroup of version 1, and the words that start a program in it."""
        group = V1 / controller / f"muster-test-{os.getpid()}"
        if shutil.which("sh") is None or not (V1 / controller / "tasks").exists():
            self.skipTest(f"no {controller} cgroup of version 1 at {V1 / controller}")
        try:
            group.mkdir()
        except OSError as error:
            self.skipTest(f"no cgroup can be made below {V1 / controller}: {error}")
        try:
            try:
                for name, value in values.items():
                    (group / name.replace("__", ".")).write_text(value)
            except OSError as error:
                self.skipTest(f"the cgroup {group} cannot be set: {error}")
            yield ["sh", "-c", f'echo $$ > {group}/tasks && exec "$@"', "sh"]
        finally:
            wait_until(lambda: not (group / "tasks").read_text().strip(), 10, f"{group} to be empty")
            group.rmdir()

    def test_taskset_is_kept(self):
        cpus = own_cpus()
        if len(cpus) < 2:
            self.skipTest("one CPU: nothing to take away")
        last = str(cpus[-1])
        prefix = ["taskset", "-c", last]
        node = self.topo(prefix=prefix)
        self.assertEqual(node["allowed"], last)
        self.assertEqual([core["cpus"] for core in node["cores"]], [last])
        self.assertIn(f"Cpus_allowed_list:\t{last}\n", self.ranks(1, prefix)[0])

    def test_a_cpuset_is_kept(self):
        cpus = own_cpus()
        if len(cpus) < 2:
            self.skipTest("one CPU: nothing to take away")
        first = str(cpus[0])
        with self.cgroup("cpuset", cpuset__cpus=first, cpuset__mems="0") as prefix:
            node = self.topo(prefix=prefix)
            self.assertEqual(node["allowed"], first)
            self.assertNotEqual(node["present"], first)
            rank = self.ranks(1, prefix)[0]
            self.assertIn(f"Cpus_allowed_list:\t{first}\n", rank)
            self.assertIn("Mems_allowed_list:\t0\n", rank)

    def test_a_quota_counts_threads_and_narrows_no_core(self):
        cpus = own_cpus()
        if len(cpus) < 2:
            self.skipTest("one CPU: a quota below it changes no number")
        with self.cgroup("cpu", cpu__cfs_period_us="100000", cpu__cfs_quota_us="100000") as prefix:
            node = self.topo(prefix=prefix)
            self.assertEqual(node["cpu_quota"], 1.0)
            self.assertEqual(sum(len(core["cpus"]) > 0 for core in node["cores"]),
                             len(self.topo()["cores"]))
            self.assertTrue(any("time of 1 of" in note["text"] for note in node["notes"]), node)
            self.assertIn("threads 1\n", self.ranks(1, prefix)[0])

    def test_an_override_file_has_the_last_word(self):
        override = self.directory / "override.yaml"
        override.write_text('gpus:\n  "0001:00:00.0": {numa_node: 1}\n'
                            "nics:\n  eth0: {numa_node: 0}\n")
        recorded = DATA / "recorded/two-packages.xml"
        before = self.topo("--topology", recorded)
        self.assertEqual([gpu["numa_node"] for gpu in before["gpus"]], [1, 0, None])
        node = self.topo("--topology", recorded, "--override", override)
        self.assertEqual([gpu["numa_node"] for gpu in node["gpus"]], [1, 0, 1])
        self.assertEqual(node["gpus"][2]["locality_source"], "override file")
        self.assertEqual(node["nics"][-1]["numa_node"], 0)

    def test_an_override_file_that_is_wrong_stops_a_run(self):
        override = self.directory / "override.yaml"
        override.write_text("gpu: {}\n")
        result = self.run_muster(["run", "-n", "1", "--", "true"],
                                 env={"MUSTER_TOPOLOGY_OVERRIDE": override})
        self.assert_code(result, 65)
        self.assertIn("override.yaml:1", result.stderr)

    def test_gpus_of_a_file_and_a_machine_of_a_description(self):
        gpus = self.directory / "gpus.json"
        gpus.write_text('[{"numa_node": 1}, {"numa_node": 0}]')
        node = self.topo("--topology", "synthetic:pack:2 [numa(memory=32GB)] core:4 pu:2",
                         "--gpus", gpus)
        self.assertEqual(len(node["cores"]), 8)
        self.assertEqual([gpu["numa_node"] for gpu in node["gpus"]], [1, 0])
        plan = self.run_muster(["plan", "-n", "2", "--backend", "direct", "--format", "json",
                                "--topology", "synthetic:pack:2 [numa(memory=32GB)] core:4 pu:2",
                                "--gpus", gpus, "--", "true"])
        self.assert_code(plan, 0)
        ranks = json.loads(plan.stdout)["ranks"]
        self.assertEqual([rank["cpuset"] for rank in ranks], ["8-15", "0-7"])
        self.assertEqual([rank["memory_nodes"] for rank in ranks], ["1", "0"])


if __name__ == "__main__":
    main()
