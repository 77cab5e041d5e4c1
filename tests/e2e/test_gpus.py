"""GPUs from NVML and CUDA to the ranks, with libraries of tests/programs in NVIDIA's place."""

import json
import os
import signal
from pathlib import Path

import muster_test
from muster_test import MusterTest, program

UUID = "GPU-0000000{}-1111-2222-3333-444444444444"
BUS_IDS = ["0000:07:00.0", "0000:0f:00.0", "0000:47:00.0", "0000:4e:00.0",
           "0000:87:00.0", "0000:90:00.0", "0000:b7:00.0", "0000:bd:00.0"]
HAS_GPU = Path("/proc/driver/nvidia").exists() or Path("/dev/nvidiactl").exists()


def dgx(count=8):
    """A script of fake_nvml: the first GPUs of a DGX A100."""
    return "".join(
        f"gpu {UUID.format(at)} 0000{bus_id.upper()} NVIDIA_A100-SXM4-40GB 42949672960 {at}\n"
        for at, bus_id in enumerate(BUS_IDS[:count]))


class GpuTest(MusterTest):
    def nvml(self, script, library="libfake_nvml.so", **more):
        """Variables that put the fake with that script in NVML's place."""
        file = self.directory / "nvml.script"
        file.write_text(script, encoding="utf-8")
        return {"MUSTER_NVML_LIBRARY": program(library), "FAKE_NVML_SCRIPT": file,
                "CUDA_VISIBLE_DEVICES": None, "CUDA_DEVICE_ORDER": None,
                "NVIDIA_VISIBLE_DEVICES": None, **more}

    def topo(self, env):
        result = self.run_muster(["topo", "--format", "json"], env=env)
        self.assert_code(result, 0)
        self.assert_nothing_left()
        return json.loads(result.stdout)

    def plan(self, env, *args, code=0):
        result = self.run_muster(["plan", "--backend", "direct", "--format", "json", *args,
                                  "--", "true"], env=env)
        self.assert_code(result, code)
        return json.loads(result.stdout) if code == 0 else result


def uuids(gpus):
    return [gpu["uuid"] for gpu in gpus]


def texts(topology):
    return [note["text"] for note in topology["notes"]]


class Found(GpuTest):
    def test_eight_gpus_by_nvml(self):
        log = self.directory / "log"
        script = dgx() + f"log {log}\n" + "".join(f"link {at} 0000:C4:00.0 12 2\n" for at in range(8))
        topology = self.topo(self.nvml(script))
        self.assertEqual(uuids(topology["gpus"]), [UUID.format(at) for at in range(8)])
        self.assertEqual([gpu["bus_id"] for gpu in topology["gpus"]], BUS_IDS)
        self.assertEqual([gpu["index"] for gpu in topology["gpus"]], list(range(8)))
        self.assertEqual({gpu["model"] for gpu in topology["gpus"]}, {"NVIDIA A100-SXM4-40GB"})
        self.assertEqual(topology["gpus"][3]["memory_bytes"], 42949672960)
        self.assertEqual(topology["gpus"][3]["nvlinks"],
                         [{"bus_id": "0000:c4:00.0", "count": 12, "to_switch": True}])
        self.assertEqual(topology["gpu_source"], "NVML 535.104.05")
        self.assertEqual(log.read_text(encoding="utf-8"), "init\nshutdown\n")

    def test_an_nvml_without_newer_calls(self):
        topology = self.topo(self.nvml(dgx(2), "libfake_nvml_old.so"))
        self.assertEqual([gpu["bus_id"] for gpu in topology["gpus"]], BUS_IDS[:2])
        self.assertEqual(topology["gpus"][0]["nvlinks"], [])

    def test_instances_stand_in_place_of_their_gpu(self):
        script = dgx(2) + "mig 1 MIG-aaaa 7 0 5368709120\nmig 1 MIG-bbbb 9 0 5368709120\n"
        topology = self.topo(self.nvml(script))
        self.assertEqual(uuids(topology["gpus"]), [UUID.format(0), "MIG-aaaa", "MIG-bbbb"])
        self.assertEqual(topology["gpus"][2]["parent_uuid"], UUID.format(1))
        self.assertEqual(topology["gpus"][2]["bus_id"], BUS_IDS[1])
        self.assertTrue(any("CUDA shows a process one instance only" in text
                            for text in texts(topology)), texts(topology))

    def test_a_lost_gpu_is_left_out_by_name(self):
        for how, name in (("error 2 15\n", f"GPU {BUS_IDS[2]} (the driver's number 2) is left out"),
                          ("no_handle 2 15\n", "the driver's GPU number 2 ")):
            with self.subTest(how):
                topology = self.topo(self.nvml(dgx(4) + how))
                self.assertEqual(uuids(topology["gpus"]), [UUID.format(at) for at in (0, 1, 3)])
                self.assertTrue(any(text.startswith(name) and "GPU is lost" in text
                                    for text in texts(topology)), texts(topology))

    def test_nvml_that_refuses_is_told_and_nothing_breaks(self):
        for script, words in (("init 9\n", "Driver Not Loaded"), ("init 18\n", "version mismatch"),
                              ("init 4\n", "Insufficient Permissions")):
            with self.subTest(script):
                env = self.nvml(script, MUSTER_CUDA_LIBRARY="/nonexistent/libcuda.so.1")
                self.assertTrue(any(words in text for text in texts(self.topo(env))))
                result = self.run_muster(["run", "-n", "1", "--", "true"], env=env)
                self.assert_code(result, 0)

    def test_none_is_none(self):
        topology = self.topo(self.nvml("driver 550.54\n"))
        self.assertEqual(topology["gpus"], [])
        self.assertEqual(topology["gpu_source"], "NVML 550.54")

    def test_a_driver_that_hangs_is_given_up(self):
        for how in ("hang init\n", "hang gpu 1\n"):
            with self.subTest(how):
                topology = self.topo(self.nvml(dgx(2) + how, MUSTER_GPU_TIMEOUT="1"))
                self.assertTrue(any("no answer in 1.0 s" in text for text in texts(topology)),
                                texts(topology))

    def test_a_library_that_crashes_is_a_note(self):
        topology = self.topo(self.nvml(dgx(1) + "rubbish 0\n",
                                       MUSTER_CUDA_LIBRARY="/nonexistent/libcuda.so.1"))
        self.assertTrue(any("SIGABRT" in text for text in texts(topology)), texts(topology))

    def test_a_container_without_the_utility_capability_has_cuda(self):
        env = {"MUSTER_NVML_LIBRARY": "/nonexistent/libnvidia-ml.so.1",
               "MUSTER_CUDA_LIBRARY": program("libfake_cuda.so"), "CUDA_VISIBLE_DEVICES": "1",
               "CUDA_DEVICE_ORDER": None,
               "FAKE_CUDA_DEVICES": "0001:00:00.0 Tesla V100;0002:00:00.0 Tesla V100"}
        topology = self.topo(env)
        self.assertEqual([gpu["bus_id"] for gpu in topology["gpus"]], ["0002:00:00.0"])
        self.assertEqual([gpu["bus_id"] for gpu in topology["hidden_gpus"]], ["0001:00:00.0"])
        self.assertTrue(topology["gpu_source"].startswith("CUDA"), topology["gpu_source"])
        self.assertTrue(any("utility" in note["hint"] for note in topology["notes"]))

    @muster_test.unittest.skipIf(HAS_GPU, "there is an NVIDIA driver here")
    def test_no_library_is_loaded_where_nothing_speaks_of_a_gpu(self):
        result = self.run_muster(["topo"], env={"LD_DEBUG": "files"})
        self.assert_code(result, 0)
        self.assertIn("libc.so", result.stderr)
        self.assertNotIn("nvidia-ml", result.stderr)
        self.assertNotIn("libcuda", result.stderr)


class Visible(GpuTest):
    def test_the_callers_list_decides(self):
        script = dgx(4) + "mig 3 MIG-aaaa 7 0 1\nmig 3 MIG-bbbb 9 0 1\n"
        first, second, third = (UUID.format(at) for at in range(3))
        for listed, wanted, said in (
                (None, [first, second, third, "MIG-aaaa", "MIG-bbbb"], ""),
                ("2,0", [third, first], ""),
                ("1,2,-1,0", [second, third], ""),
                ("0,7,1", [first], 'ends at "7"'),
                ("", [], "none of the 5 GPUs"),
                ("-1", [], "none of the 5 GPUs"),
                ("1,1", [], "names a GPU twice"),
                ("GPU-00000002,GPU-00000000", [third, first], ""),
                ("MIG-bbbb,MIG-a", ["MIG-bbbb", "MIG-aaaa"], ""),
                (f"MIG-{UUID.format(3)}/9/0", ["MIG-bbbb"], ""),
                ("3", ["MIG-aaaa", "MIG-bbbb"], ""),
                ("NoDevFiles", [], 'ends at "NoDevFiles"')):
            with self.subTest(listed):
                topology = self.topo(self.nvml(script, CUDA_VISIBLE_DEVICES=listed))
                self.assertEqual(uuids(topology["gpus"]), wanted)
                self.assertEqual([gpu["index"] for gpu in topology["gpus"]],
                                 list(range(len(wanted))))
                self.assertEqual(len(topology["gpus"]) + len(topology["hidden_gpus"]), 5)
                self.assertIn(said, "\n".join(texts(topology)))

    def test_numbers_are_the_drivers_where_a_gpu_is_left_out(self):
        for how in ("error 1 15\n", "no_handle 1 15\n"):
            topology = self.topo(self.nvml(dgx(4) + how, CUDA_VISIBLE_DEVICES="2,3"))
            self.assertEqual(uuids(topology["gpus"]), [UUID.format(2), UUID.format(3)])
        topology = self.topo(self.nvml(dgx(4) + "error 1 15\n", CUDA_VISIBLE_DEVICES="0,1"))
        self.assertEqual(uuids(topology["gpus"]), [UUID.format(0)])
        self.assertIn('ends at "1": that GPU is left out', "\n".join(texts(topology)))

    def test_models_that_differ_are_warned_of(self):
        script = dgx(1) + f"gpu {UUID.format(1)} 00000000:90:00.0 NVIDIA_T4 16106127360 1\n"
        topology = self.topo(self.nvml(script, CUDA_VISIBLE_DEVICES="1"))
        self.assertIn("CUDA_DEVICE_ORDER", [note["subject"] for note in topology["notes"]])
        topology = self.topo(self.nvml(script, CUDA_VISIBLE_DEVICES="1",
                                       CUDA_DEVICE_ORDER="PCI_BUS_ID"))
        self.assertNotIn("CUDA_DEVICE_ORDER", [note["subject"] for note in topology["notes"]])


class Given(GpuTest):
    def test_auto_plans_a_rank_for_each_visible_gpu_in_order(self):
        plan = self.plan(self.nvml(dgx(2), CUDA_VISIBLE_DEVICES="1,0"), "-n", "auto")
        self.assertEqual([[gpu["uuid"] for gpu in rank["gpus"]] for rank in plan["ranks"]],
                         [[UUID.format(1)], [UUID.format(0)]])

    def test_ranks_are_told_their_gpus(self):
        env = self.nvml(dgx(2), CUDA_VISIBLE_DEVICES="1,0")
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--console", "none",
                                  "--", program("rank_probe")], env=env)
        self.assert_code(result, 0)
        for rank, gpu in enumerate((1, 0)):
            seen = json.loads(result.rank_bytes(rank))["environment"]
            self.assertEqual(seen["MUSTER_GPU"], str(rank))
            self.assertEqual(seen["MUSTER_GPU_UUID"], UUID.format(gpu))
            self.assertEqual(seen["CUDA_VISIBLE_DEVICES"], "1,0", "all stay visible")
            self.assertNotIn("MUSTER_NVML_LIBRARY", seen)
        self.assert_nothing_left()

    def test_each_rank_sees_its_own_instance(self):
        script = dgx(1) + "mig 0 MIG-aaaa 7 0 1\nmig 0 MIG-bbbb 9 0 1\n"
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--console", "none",
                                  "--", program("rank_probe")], env=self.nvml(script))
        self.assert_code(result, 0)
        seen = [json.loads(result.rank_bytes(rank))["environment"] for rank in range(2)]
        self.assertEqual([each["CUDA_VISIBLE_DEVICES"] for each in seen], ["MIG-aaaa", "MIG-bbbb"])
        self.assertEqual([each["MUSTER_GPU_UUID"] for each in seen], ["MIG-aaaa", "MIG-bbbb"])

    def test_torchruns_gpu_is_a_rank_for_each_visible_one(self):
        for words in (["-n", "gpu"], ["--nproc-per-node", "auto"]):
            plan = self.plan(self.nvml(dgx(4), CUDA_VISIBLE_DEVICES="2,0,1"), *words)
            self.assertEqual(plan["world_size"], 3)
        none = self.run_muster(["plan", "-n", "gpu", "--", "true"], env=self.nvml("", CUDA_VISIBLE_DEVICES=None))
        self.assert_code(none, 69)
        self.assertIn("-n gpu: no GPU can be seen, CUDA_VISIBLE_DEVICES is not set", none.stderr)

    def test_what_discovery_warns_of_is_told_before_the_start(self):
        env = self.nvml(dgx(3) + "error 1 15\n", CUDA_VISIBLE_DEVICES="0,2,7")
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "true"], env=env)
        self.assert_code(result, 0)
        said = result.stderr + result.stdout
        self.assertIn(f"GPU {BUS_IDS[1]} (the driver's number 1) is left out", said)
        self.assertIn('ends at "7"', said)
        plan = self.plan(env, "-n", "2", "--set", "resources.gpus_per_process=0")
        self.assertNotIn("is left out", json.dumps(plan["warnings"]), "a run on CPUs")

    def test_a_gpu_in_use_is_told_before_the_start(self):
        script = dgx(2) + f"process 1 {os.getpid()} 1073741824\n"
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "true"],
                                 env=self.nvml(script))
        self.assert_code(result, 0)
        self.assertRegex(result.stderr + result.stdout, rf"GPU 1 .*{os.getpid()}")
        quiet = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "true"],
                                env=self.nvml(dgx(2)))
        self.assertNotIn("in use", quiet.stderr + quiet.stdout)

    def test_a_stop_while_the_driver_hangs_ends_all(self):
        running = self.start_muster(["run", "-n", "1", "--", "true"],
                                    env=self.nvml("hang init\n", MUSTER_GPU_TIMEOUT="60"))
        muster_test.wait_until(lambda: len(running.processes()) == 1, 30, "the child that asks")
        running.send(signal.SIGKILL)
        running.wait()
        self.assert_nothing_left()


if __name__ == "__main__":
    muster_test.main()
