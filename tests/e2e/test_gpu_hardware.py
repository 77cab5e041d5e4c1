"""What muster finds on a real GPU agrees with nvidia-smi; skipped where there is none."""

import json
import os
import shutil
import subprocess
import unittest

import muster_test
from muster_test import MusterTest, program

SMI = shutil.which("nvidia-smi")
FIELDS = "index,pci.bus_id,uuid,name,memory.total"


def listed_by_smi():
    """Rows of nvidia-smi; None when it is not here or shows no GPU."""
    if SMI is None:
        return None
    done = subprocess.run([SMI, f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits"],
                          capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        return None
    return [[word.strip() for word in line.split(",")] for line in done.stdout.splitlines()]


ROWS = listed_by_smi()


def canonical(bus_id):
    domain, bus, rest = bus_id.lower().split(":")
    return f"{int(domain, 16):04x}:{bus}:{rest}"


@unittest.skipUnless(ROWS, "no nvidia-smi that shows a GPU")
class Hardware(MusterTest):
    def setUp(self):
        super().setUp()
        if os.environ.get("CUDA_VISIBLE_DEVICES") is not None:
            self.skipTest("CUDA_VISIBLE_DEVICES is set")
        if any(line.lstrip().startswith("MIG") for line in subprocess.run(
                [SMI, "-L"], capture_output=True, text=True, check=True).stdout.splitlines()):
            self.skipTest("a GPU here is partitioned")

    def topo(self, env=None):
        result = self.run_muster(["topo", "--format", "json"], env=env, timeout=120)
        self.assert_code(result, 0)
        return json.loads(result.stdout)

    def test_topo_agrees_with_nvidia_smi(self):
        topology = self.topo()
        self.assertTrue(topology["gpu_source"].startswith("NVML"), topology["notes"])
        found = [[str(gpu["index"]), gpu["bus_id"], gpu["uuid"], gpu["model"]]
                 for gpu in topology["gpus"]]
        self.assertEqual(found, [[row[0], canonical(row[1]), row[2], row[3]] for row in ROWS])
        for gpu, row in zip(topology["gpus"], ROWS):
            self.assertAlmostEqual(gpu["memory_bytes"] / 2**20, float(row[4]), delta=1024)

    def test_cuda_and_proc_find_the_same_gpus(self):
        topology = self.topo({"MUSTER_NVML_LIBRARY": "/nonexistent/libnvidia-ml.so.1"})
        self.assertFalse(topology["gpu_source"].startswith("NVML"))
        self.assertEqual([gpu["bus_id"] for gpu in topology["gpus"]],
                         [canonical(row[1]) for row in ROWS])

    def test_a_rank_is_told_its_gpu(self):
        result = self.run_muster(["run", "-n", "1", "--console", "none", "--", program("rank_probe")],
                                 timeout=120)
        self.assert_code(result, 0)
        seen = json.loads(result.rank_bytes(0))["environment"]
        self.assertEqual(seen["MUSTER_GPU_UUID"].split(",")[0], ROWS[0][2])


if __name__ == "__main__":
    muster_test.main()
