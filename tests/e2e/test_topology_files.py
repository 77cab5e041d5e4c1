"""Files that say where devices are: the override file, NCCL's topology file, nccl.conf; and hwloc
files that are damaged."""

import json
import time

import muster_test
from muster_test import MusterTest, SOURCE_DIR, program

CONFIG, RESOURCES = 65, 69
GPU_BUS_ID = "0000:65:00.0"
TOPOLOGIES = SOURCE_DIR / "tests/data/topologies"


def mask_of(cpu_list):
    """A Linux list of CPUs as NCCL's words of 32 bits, the most significant first."""
    bits = 0
    for part in filter(None, cpu_list.split(",")):
        first, _, last = part.partition("-")
        for cpu in range(int(first), int(last or first) + 1):
            bits |= 1 << cpu
    words = []
    while bits or not words:
        words.insert(0, f"{bits & 0xffffffff:08x}")
        bits >>= 32
    return ",".join(words)


class TopologyFilesTest(MusterTest):
    def write(self, name, text):
        path = self.work_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def topo(self, *args, env=None):
        result = self.run_muster(["topo", "--format", "json", *args], env=env)
        self.assert_code(result, 0)
        return json.loads(result.stdout)

    def assert_refused(self, args, code, *words, env=None):
        result = self.run_muster(args, env=env)
        self.assert_code(result, code)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertIn("  hint: ", result.stderr)


class OverrideFile(TopologyFilesTest):
    MACHINE = str(TOPOLOGIES / "p4d.xml")

    def setUp(self):
        super().setUp()
        self.gpu = self.topo("--topology", self.MACHINE)["gpus"][0]
        self.assertEqual(self.gpu["numa_node"], 0)

    def first_gpu(self, *args, env=None):
        return self.topo("--topology", self.MACHINE, *args, env=env)["gpus"][0]

    def test_has_the_last_word(self):
        path = self.write("o.yaml", f"gpus:\n  {self.gpu['bus_id']}: {{numa_node: 1}}\n")
        for args in (["--override", path], ["--topology-override", path]):
            gpu = self.first_gpu(*args)
            self.assertEqual((gpu["numa_node"], gpu["locality_source"]), (1, "override file"))

    def test_of_the_variable_is_about_this_node_alone(self):
        path = self.write("o.yaml", f"gpus:\n  {self.gpu['bus_id']}: {{numa_node: 9}}\n")
        self.assertEqual(self.first_gpu(env={"MUSTER_TOPOLOGY_OVERRIDE": path}), self.gpu)

    def test_moves_the_plan(self):
        path = self.write("o.json", json.dumps({"gpus": {self.gpu["uuid"]: {"numa_node": 1}}}))
        plans = []
        for args in ([], ["--override", path]):
            result = self.run_muster(["plan", "-n", "8", "--backend", "direct", "--topology",
                                      self.MACHINE, "--format", "json", *args, "--", "true"])
            self.assert_code(result, 0)
            plans.append(json.loads(result.stdout)["ranks"][0]["memory_nodes"])
        self.assertEqual(plans, ["0", "1"])

    def test_a_mistake_has_its_place(self):
        topo = ["topo", "--topology", self.MACHINE, "--override"]
        path = self.write("o.yaml", "gpus:\n  seven: {numa_node: 1}\n")
        self.assert_refused([*topo, path], CONFIG, f"{path}:2:3: ", "neither a PCI bus id")
        path = self.write("o.yaml", f"gpus:\n  {self.gpu['bus_id']}: {{numa_node: 9}}\n")
        self.assert_refused([*topo, path], CONFIG, f"{path}:2:", "no NUMA node 9", "it has 0, 1")
        self.assert_refused([*topo, "missing.yaml"], CONFIG, "missing.yaml",
                            "No such file or directory")
        self.assert_refused(["run", "--override", path, "--backend", "direct", "-n", "1", "--",
                             "true"], CONFIG, "no NUMA node 9")

    def test_a_device_that_is_not_there_is_told(self):
        path = self.write("o.yaml", "nics: {mlx5_99: {usable: no}}\n")
        notes = self.topo("--topology", self.MACHINE, "--override", path)["notes"]
        self.assertTrue([note for note in notes if 'no NIC "mlx5_99"' in note["text"]], notes)


class NcclFiles(TopologyFilesTest):
    """On this machine, whose one GPU is a fake NVML's."""

    def setUp(self):
        super().setUp()
        library = next(iter(muster_test.PROGRAMS_DIR.glob("*fake_nvml.so")), None) \
            or program("fake_nvml")
        script = self.write("nvml.txt", f"driver 535.1\ngpu GPU-1 0000{GPU_BUS_ID} Fake 1 0\n")
        self.env = {"MUSTER_NVML_LIBRARY": str(library), "FAKE_NVML_SCRIPT": script,
                    "HOME": str(self.work_dir), "NCCL_CONF_FILE": "", "NCCL_TOPO_FILE": ""}
        del self.env["NCCL_TOPO_FILE"]
        self.here = self.topo(env=self.env)
        self.assertEqual([gpu["bus_id"] for gpu in self.here["gpus"]], [GPU_BUS_ID])

    def nccl_file(self, name="topo.xml", swap=False, bus_id=GPU_BUS_ID):
        """One that fits this machine, with the GPU on its last NUMA node."""
        lines = ['<system version="1">']
        nodes = self.here["numa_nodes"]
        for node in nodes:
            mask = "f" * 8 + ",00000000" if swap else mask_of(node["present_cpus"])
            lines.append(f'<cpu numaid="{node["os_index"]}" affinity="{mask}" arch="x86_64">')
            if node is nodes[-1]:
                lines.append(f'<pci busid="ffff:ff:01.0" class="0x060400">'
                             f'<pci busid="{bus_id}" class="0x030200"/></pci>')
            lines.append("</cpu>")
        return self.write(name, "\n".join(lines + ["</system>"]) + "\n")

    def test_one_that_holds_is_believed(self):
        env = {**self.env, "NCCL_TOPO_FILE": self.nccl_file()}
        found = self.topo(env=env)
        self.assertTrue(found["nccl_topology_file"]["used"], found["nccl_topology_file"])
        gpu = found["gpus"][0]
        self.assertEqual(gpu["numa_node"], self.here["numa_nodes"][-1]["os_index"])
        self.assertEqual(gpu["locality_source"], "NCCL topology file")
        self.assertEqual(gpu["upstream"], ["ffff:ff:01.0"])

    def test_a_wrong_one_is_ignored_with_its_reason(self):
        for keywords, why in (({"swap": True}, "and the kernel CPUs"),
                              ({"bus_id": "0000:66:00.0"}, "of this node is not in it")):
            env = {**self.env, "NCCL_TOPO_FILE": self.nccl_file(**keywords)}
            found = self.topo(env=env)
            self.assertFalse(found["nccl_topology_file"]["used"])
            self.assertIn(why, found["nccl_topology_file"]["why_not"])
            self.assertNotEqual(found["gpus"][0]["locality_source"], "NCCL topology file")
            self.assertTrue([note for note in found["notes"] if "is ignored" in note["text"]])

    def test_nccl_conf_names_one(self):
        conf = self.write(".nccl.conf", f"NCCL_TOPO_FILE={self.nccl_file()}\n")
        env = {**self.env}
        del env["NCCL_CONF_FILE"]
        found = self.topo(env=env)["nccl_topology_file"]
        self.assertEqual((found["used"], found["named_by"]), (True, conf))
        other = self.write("other.conf", "NCCL_TOPO_FILE=/nowhere.xml\n")
        found = self.topo(env={**env, "NCCL_CONF_FILE": other})["nccl_topology_file"]
        self.assertEqual((found["used"], found["named_by"]), (False, other))
        self.assertIn("No such file", found["why_not"])


class NetworkVariables(TopologyFilesTest):
    def plan(self, *args, env=None):
        result = self.run_muster(["plan", "-n", "8", "--backend", "direct", "--topology",
                                  str(TOPOLOGIES / "dgx-a100.xml"), "--format", "json", *args,
                                  "--", "true"], env=env)
        self.assert_code(result, 0)
        return json.loads(result.stdout)

    def test_ports_are_named(self):
        plan = self.plan()
        self.assertEqual(plan["environment"]["common"]["NCCL_IB_HCA"],
                         "=" + ",".join(f"mlx5_{n}:1" for n in (0, 1, 2, 3, 6, 7, 8, 9)))
        own = plan["environment"]["per_rank"][2]["UCX_NET_DEVICES"]
        self.assertIn(own, ("mlx5_2:1", "mlx5_3:1"))

    def test_the_caller_wins_and_is_warned(self):
        plan = self.plan(env={"NCCL_IB_HCA": "=mlx5_4:1"})
        self.assertNotIn("NCCL_IB_HCA", plan["environment"]["common"])
        self.assertTrue([text for text in plan["warnings"] if "mlx5_4:1" in text and "down" in text],
                        plan["warnings"])


class NodesOfDifferentKinds(TopologyFilesTest):
    def plan_text(self, *names):
        topologies = [word for name in names
                      for word in ("--topology", str(TOPOLOGIES / f"{name}.xml"))]
        result = self.run_muster(["plan", "--backend", "direct", "--nodes", str(len(names)), "-n",
                                  "4", *topologies, "--", "true"])
        self.assert_code(result, 0)
        return result.stdout

    def test_a_file_that_many_nodes_have_is_read_once(self):
        def seconds(times):
            words = ["--topology", str(TOPOLOGIES / "dgx-a100.xml")] * times
            start = time.monotonic()
            result = self.run_muster(["plan", "--backend", "direct", "--nodes", "1000", "-n", "8",
                                      "--format", "argv", *words, "--", "true"])
            self.assert_code(result, 0)
            return time.monotonic() - start
        self.assertLess(seconds(1000), 3 * seconds(1) + 1)

    def test_ranks_without_a_nic_have_no_variables_for_it(self):
        for names in (("dgx-a100", "nc-a100-v4"), ("nc-a100-v4", "dgx-a100"),
                      ("gb200", "server-2x16")):
            with self.subTest(names):
                self.assertIn("each   RANK=0, 1, 2, 3, 4, 5, 6, 7  ", self.plan_text(*names))
        self.assertIn("UCX_NET_DEVICES=-, -, -, -, mlx5_0:1,",
                      self.plan_text("nc-a100-v4", "dgx-a100"))


class DamagedHwlocFiles(TopologyFilesTest):
    def test_are_refused_whatever_hwloc_does_with_them(self):
        whole = (TOPOLOGIES / "dgx-a100.xml").read_text(encoding="utf-8")
        damaged = {
            "cut": whole[: len(whole) // 2],
            "no cpusets": whole.replace("cpuset=", "was="),
            "large index": whole.replace('os_index="1"', 'os_index="4294967290"', 1),
            "another root": whole.replace("<topology", "<tropology", 1),
        }
        for what, text in damaged.items():
            with self.subTest(what):
                self.assert_refused(["topo", "--topology", self.write("node.xml", text)], RESOURCES,
                                    "cannot use topology file")


if __name__ == "__main__":
    muster_test.main()
