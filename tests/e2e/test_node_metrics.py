"""How a node fares while a run goes on: node_metrics/<node>.jsonl, and `muster status`."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import muster_test
from muster_test import MusterTest, PYTHON, is_alive, program, wait_until

UUID = "GPU-0000000{}-1111-2222-3333-444444444444"
GPUS = "".join(f"gpu {UUID.format(at)} 00000000:0{at + 1}:00.0 NVIDIA_A100 42949672960 {at}\n"
               for at in range(2))
FARE = "use 0 98 40000000000 312 61\nuse 1 3 1000000000 80 84\nthrottle 1 36\necc 1 5 2\n"


class NodeMetricsTest(MusterTest):
    def start(self, *args, interval="200ms", env=None, command=("sleep", "600")):
        return self.start_muster(["run", "-n", "2", "--backend", "direct", "--set",
                                  f"metrics.node_interval={interval}", *args, "--", *command],
                                 env=env)

    def nvml(self, script):
        file = self.directory / "nvml.script"
        file.write_text(script, encoding="utf-8")
        return {"MUSTER_NVML_LIBRARY": program("libfake_nvml.so"), "FAKE_NVML_SCRIPT": file,
                "CUDA_VISIBLE_DEVICES": None, "CUDA_DEVICE_ORDER": None,
                "NVIDIA_VISIBLE_DEVICES": None}

    def lines(self, running):
        """What has been written so far, whole lines only."""
        if running.run_directory is None:
            return []
        texts = [file.read_text(encoding="utf-8")
                 for file in (running.run_directory / "node_metrics").glob("*.jsonl")]
        return [json.loads(line) for text in texts for line in text.split("\n")[:-1]]

    def values(self, running, label=None, number=None):
        """The last value of each name, of the node or of one of its parts."""
        found = {}
        for line in self.lines(running):
            if set(line) - {"time", "node", "values"} == ({label} if label else set()):
                if label is None or line[label] == number:
                    found.update(line["values"])
        return found

    def stop(self, running, code=143):
        running.send(signal.SIGTERM)
        result = running.wait()
        self.assert_code(result, code)
        self.assert_nothing_left()
        return result

    def test_a_node_and_its_ranks(self):
        busy = [PYTHON, "-c", "while True: pass"]
        running = self.start(command=busy)
        wait_until(lambda: "rank.cpu_percent" in self.values(running, "rank", 1), 60, "ranks")
        wait_until(lambda: "cpu.percent" in self.values(running), 60, "the node")
        node = self.values(running)
        self.assertGreater(node["cpu.percent"], 5)
        self.assertGreater(node["mem.available_bytes"], 1 << 20)
        self.assertGreater(node["mem.total_bytes"], node["mem.available_bytes"])
        self.assertGreater(node["disk.run_free_bytes"], 0)
        self.assertGreater(self.values(running, "rank", 0)["rank.rss_bytes"], 1 << 20)
        for line in self.lines(running):
            self.assertLess(abs(line["time"] - time.time()), 600)
            self.assertEqual(line["node"], os.uname().nodename)
        status = json.loads(self.run_muster(["status", "--json"]).stdout)
        self.assertEqual(status["nodes"][0]["node"], os.uname().nodename)
        self.assertGreater(status["nodes"][0]["values"]["cpu.percent"], 1)
        # The ranks measure nothing: a database is made for whoever asks, and not before.
        time.sleep(1)
        self.assertFalse((running.run_directory / "metrics.db").exists())
        asked = json.loads(self.run_muster(["metrics", "--json", "--name", "cpu.percent"]).stdout)
        self.assertGreater(asked["metrics"][0]["count"], 0)
        text = self.run_muster(["status"]).stdout
        self.assertRegex(text, r"(?m)^  node +\S+: CPU \d+%.*memory .*of")
        self.stop(running)

    def test_gpus_that_suffer_are_marked(self):
        running = self.start(env=self.nvml(GPUS + FARE))
        wait_until(lambda: "gpu.percent" in self.values(running, "gpu", 1), 60, "GPUs")
        first = self.values(running, "gpu", 0)
        self.assertEqual([first["gpu.percent"], first["gpu.power_watts"],
                          first["gpu.temperature_celsius"], first["gpu.memory_used_bytes"]],
                         [98, 312, 61, 40000000000])
        text = self.run_muster(["status"]).stdout
        self.assertRegex(text, r"(?m)^  gpu 0 +98%, 37\.3 GiB of 40\.0 GiB, 312 of 400 W, 61 °C$")
        self.assertRegex(text, r"(?m)^! gpu 1 .*84 °C, slowed down \(heat\), "
                               r"2 uncorrected ECC errors")
        status = json.loads(self.run_muster(["status", "--json"]).stdout)
        self.assertEqual(status["nodes"][0]["gpus"][1]["values"]["gpu.ecc_uncorrected"], 2)
        self.stop(running)

    def test_a_driver_that_hangs_disturbs_nobody(self):
        running = self.start(env=self.nvml(GPUS + FARE + "sick 1 600\n"))
        wait_until(lambda: len(self.lines(running)) > 8, 60, "the node's lines")
        self.assertEqual(self.values(running, "gpu", 0), {})
        began = time.monotonic()
        self.stop(running)
        self.assertLess(time.monotonic() - began, 60)

    def test_a_driver_that_crashes_is_named_in_the_log(self):
        env = self.nvml(GPUS + FARE)
        running = self.start(env=env, interval="300ms")
        wait_until(lambda: "gpu.percent" in self.values(running, "gpu", 1), 60, "GPUs")
        children = [Path(f"/proc/{pid}") for pid in self.children_of(running.pid)]
        watching = [path for path in children
                    if "libfake_nvml" in (path / "maps").read_text(encoding="utf-8")]
        self.assertEqual(len(watching), 1)
        os.kill(int(watching[0].name), signal.SIGKILL)
        log = running.run_directory / "launcher" / f"{os.uname().nodename}.log"
        wait_until(lambda: "NVML cannot be asked" in log.read_text(encoding="utf-8"), 60, "the log")
        before = len(self.lines(running))
        wait_until(lambda: len(self.lines(running)) > before, 60, "the node's lines go on")
        self.stop(running)

    @staticmethod
    def children_of(pid):
        found = []
        for tasks in Path(f"/proc/{pid}/task").iterdir():
            found += (tasks / "children").read_text(encoding="utf-8").split()
        return found

    def test_a_launcher_that_is_killed_leaves_nobody_behind(self):
        running = self.start(env=self.nvml(GPUS + FARE))
        wait_until(lambda: "gpu.percent" in self.values(running, "gpu", 1), 60, "GPUs")
        children = [int(pid) for pid in self.children_of(running.pid)]
        running.send(signal.SIGKILL)
        running.wait()
        wait_until(lambda: not any(is_alive(pid) for pid in children), 30, "all are gone")

    def test_none_and_short_runs_leave_no_file(self):
        for args in (["--set", "metrics.node_interval=none"], []):
            result = self.run_muster(["run", *args, "--", "true"])
            self.assert_code(result, 0)
            self.assertFalse((result.run_directory / "node_metrics").exists())
        running = self.start(interval="none")
        wait_until(lambda: running.run_directory is not None and "all_ranks_started" in
                   self.events(running), 60, "ranks")
        time.sleep(1.5)
        self.stop(running)
        self.assertFalse((running.run_directory / "node_metrics").exists())

    @staticmethod
    def events(running):
        file = running.run_directory / "events.jsonl"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def test_the_interval_is_checked(self):
        result = self.run_muster(["run", "--set", "metrics.node_interval=5ms", "--", "true"])
        self.assert_code(result, 65)
        self.assertIn("is less than 100ms", result.stderr)


class Header(MusterTest):
    def test_metrics_of_a_c_program(self):
        result = self.run_muster(["run", "--", program("logs_metrics")])
        self.assert_code(result, 0)
        self.assertEqual(result.stdout, "0 0 0 18\n")
        file = result.run_directory / "ranks/00000/attempt-0/metrics.jsonl"
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        self.assertEqual(len(lines), 4 * 200 + 4)
        for thread in range(4):
            steps = [line["step"] for line in lines
                     if line["name"] == "thread" and line["value"] == thread]
            self.assertEqual(steps, list(range(200)))
        last = lines[-4:]
        self.assertEqual(last[0], {"name": "loss", "value": 0.1})
        self.assertEqual(last[1], {"name": 'a "quoted" näme\\', "value": -1e300, "step": 7,
                                   "labels": {"split": "", "is": "a=b"}})
        shown = self.run_muster(["metrics"])
        self.assertNotIn("could not be understood", shown.stderr)
        self.assertEqual([line["value"] for line in last[2:]], ["NaN", "-Infinity"])
        self.assertEqual(lines[0]["labels"], {"of": str(int(lines[0]["value"]))})

    def test_outside_of_a_run_nothing_happens(self):

        env = {name: value for name, value in os.environ.items() if name != "MUSTER_METRICS"}
        done = subprocess.run([program("logs_metrics")], env=env, capture_output=True, check=False,
                              text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, "1 1 16 0\n"))


if __name__ == "__main__":
    muster_test.main()
