"""PyTorch without MPI: an unmodified script, and launchers inside of ranks."""

import importlib.util
import json
import os
import re
import socket
import subprocess
import unittest

import muster_test
from muster_test import MusterTest, needs_mpirun, program

EXAMPLE = muster_test.SOURCE_DIR / "examples/digits_ddp"
TORCHRUN = "/usr/bin/torchrun"
# Debian's torch 1.13 waits seconds for nothing without these.
TORCHRUN_WORDS = [TORCHRUN, "-r", "1", "-t", "1", "--monitor_interval", "0.1"]


def final_loss(text):
    """As it was printed: every digit counts."""
    return re.search(r"final loss=(\S+)", text).group(1)


MISSING = [name for name in ("torch", "sklearn") if importlib.util.find_spec(name) is None]
MISSING += [] if os.access(TORCHRUN, os.X_OK) else [TORCHRUN]


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)} (scripts/setup)")
class TorchTest(MusterTest):
    def torchrun(self, *words):
        """Torchrun by itself; its standard output."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        result = subprocess.run(
            [*TORCHRUN_WORDS, "--log_dir", str(self.directory / "torchrun"), "--master_port",
             str(port), *map(str, words)], cwd=self.work_dir, env=self.environment(),
            capture_output=True, timeout=240, check=False)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.decode()


class Example(TorchTest):
    losses = {}

    def train(self, *words):
        """Trains on two ranks through muster; the loss and what is in metrics.json."""
        result = self.run_muster(["run", *words, EXAMPLE / "run.yaml"], timeout=240)
        self.assert_code(result, 0)
        outputs = result.run_directory / "outputs"
        self.assertGreater((outputs / "model.pt").stat().st_size, 1000)
        metrics = json.loads((outputs / "metrics.json").read_text("utf-8"))
        self.assertEqual(metrics["world_size"], 2)
        self.assertGreater(metrics["accuracy"], 0.9)
        loss = final_loss(result.rank_bytes(0).decode())
        self.assertEqual(repr(metrics["loss"]), loss)
        return loss

    def loss_of_torchrun(self):
        if "torchrun" not in self.losses:
            output = self.torchrun("--nproc_per_node", 2, EXAMPLE / "train.py")
            self.losses["torchrun"] = final_loss(output)
        return self.losses["torchrun"]

    def test_direct_trains_to_the_loss_of_torchrun(self):
        self.assertEqual(self.train(), self.loss_of_torchrun())

    @needs_mpirun
    def test_mpirun_trains_to_the_loss_of_torchrun(self):
        self.assertEqual(self.train("--backend", "mpi"), self.loss_of_torchrun())


class NestedTorchrun(TorchTest):
    def test_one_process_in_each_rank_is_one_world(self):
        result = self.run_muster(
            ["run", "-n", "2", "--backend", "direct", "--console", "none", "--", *TORCHRUN_WORDS,
             "--log_dir", self.directory / "logs", "--nproc_per_node", "1", "--no_python",
             program("rank_probe")], timeout=240)
        self.assert_code(result, 0)
        plan = json.loads((result.run_directory / "plan.json").read_text("utf-8"))
        for rank in range(2):
            output = result.rank_bytes(rank).decode()
            seen = json.loads(output[output.index("{"):])["environment"]  # after "[default0]:"
            self.assertEqual((seen["RANK"], seen["WORLD_SIZE"], seen["LOCAL_RANK"]),
                             (str(rank), "2", "0"))
            self.assertEqual(seen["MASTER_PORT"], plan["environment"]["common"]["MASTER_PORT"])
            # The store is that of the first torchrun, and its processes are told so.
            self.assertEqual(seen["TORCHELASTIC_USE_AGENT_STORE"], "True")


if __name__ == "__main__":
    muster_test.main()
