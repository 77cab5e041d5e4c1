"""A training that writes a growing event file: its scalars are in `muster metrics` and in a
TensorBoard that looks at the run directory, while it runs."""

import importlib.util
import json
import re
import subprocess
import unittest
import urllib.parse
import urllib.request

import muster_test
import tensorboard_folder
from muster_test import PYTHON, MusterTest, wait_until

# A real training loop's shape: SummaryWriter, one step at a time, until the test has seen enough.
TRAINS = """
import os, time
from torch.utils.tensorboard import SummaryWriter
writer = SummaryWriter("logs", flush_secs=1)
step = 0
while not os.path.exists("go"):
    writer.add_scalar("train/loss", 1 / (1 + step), step)
    writer.flush()
    step += 1
    time.sleep(0.05)
writer.close()
with open("steps", "w") as file:
    file.write(str(step))
"""


# The other reader, which programs use: prints the scalars of a folder.
ACCUMULATES = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}).Reload()
print(json.dumps({tag: [[each.step, each.value] for each in events.Scalars(tag)]
                  for tag in events.Tags()["scalars"]}))
"""


# Output folders reach the run directory while the run goes on where this key is known.
LIVE = "`results.live`" in (muster_test.SOURCE_DIR / "docs/config.md").read_text(encoding="utf-8")


@unittest.skipUnless(LIVE, "this version takes ./logs only when the run has ended")
@unittest.skipIf(importlib.util.find_spec("torch") is None, "no torch (scripts/setup)")
class TensorboardTest(MusterTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = str(tensorboard_folder.installed())

    def loss(self):
        result = self.run_muster(["metrics", "--name", "train/loss", "--json"])
        found = json.loads(result.stdout or "{}").get("metrics", [])
        return found[0] if found else None

    def start_tensorboard(self, directory):
        log = open(self.directory / "tensorboard.log", "w+b")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            [PYTHON, "-m", "tensorboard.main", "--logdir", directory, "--host", "127.0.0.1",
             "--port", "0", "--load_fast=true", "--reload_interval", "1"],
            env=self.environment({"PYTHONPATH": self.folder}), stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, cwd=self.work_dir, start_new_session=True)
        self.addCleanup(muster_test.end, process)

        def address():
            text = (self.directory / "tensorboard.log").read_text(encoding="utf-8")
            return re.search(r"http://127\.0\.0\.1:\d+/", text)
        return wait_until(address, 120, "TensorBoard's address").group()

    @staticmethod
    def scalars(address, run, tag):
        words = urllib.parse.urlencode({"run": run, "tag": tag})
        try:
            with urllib.request.urlopen(f"{address}data/plugin/scalars/scalars?{words}",
                                        timeout=30) as answer:
                return [(step, value) for _, step, value in json.load(answer)]
        except urllib.error.HTTPError:
            return []  # not read yet

    def test_scalars_are_seen_while_they_are_written(self):
        (self.work_dir / "train.py").write_text(TRAINS, encoding="utf-8")
        running = self.start_muster(["run", "--", PYTHON, "train.py"],
                                    env={"PYTHONPATH": self.folder})
        first = wait_until(self.loss, 120, "a value in `muster metrics`")
        address = self.start_tensorboard(running.run_directory)
        wait_until(lambda: self.scalars(address, "logs", "train/loss"), 60, "a value in TensorBoard")
        seen = len(self.scalars(address, "logs", "train/loss"))
        # It grows in both, in place, while the training goes on.
        wait_until(lambda: len(self.scalars(address, "logs", "train/loss")) > seen, 60,
                   "more in TensorBoard")
        wait_until(lambda: self.loss()["count"] > first["count"], 60, "more in `muster metrics`")
        self.assertIsNone(running.process.poll())
        (self.work_dir / "go").touch()
        result = running.wait()
        self.assert_code(result, 0)
        steps = int((self.work_dir / "steps").read_text(encoding="utf-8"))
        ended = self.loss()
        self.assertEqual((ended["count"], ended["last_step"]), (steps, steps - 1))
        self.assertEqual(ended["source"], "logs")
        # The same from the export, which is another folder below the same directory.
        exported = self.run_muster(["metrics", "--export", "tensorboard", "--name",
                                    "train/*", "--output", result.run_directory / "all"])
        self.assertIn(f"{steps} new values", exported.stdout)
        wait_until(lambda: len(self.scalars(address, "all/logs", "train/loss")) == min(steps, 1000),
                   60, "the export in TensorBoard")
        self.assertEqual(self.scalars(address, "all/logs", "train/loss")[:2],
                         [(0, 1.0), (1, 0.5)])
        read = subprocess.run([PYTHON, "-c", ACCUMULATES, result.run_directory / "all/logs"],
                              env=self.environment({"PYTHONPATH": self.folder}), check=True,
                              capture_output=True, text=True, timeout=120)
        scalars = json.loads(read.stdout)["train/loss"]
        self.assertEqual(len(scalars), steps)
        self.assertEqual(scalars[:2], [[0, 1.0], [1, 0.5]])


if __name__ == "__main__":
    muster_test.main()
