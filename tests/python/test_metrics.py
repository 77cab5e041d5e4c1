"""Run.get_context() and metrics: what a script logs is what get_metrics gives."""

import contextlib
import io
import math
import os
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

from muster_azureml.core import Run
from muster_azureml.core._metrics import metrics_of, read_records, tags_of
from muster_azureml.exceptions import RunEnvironmentException, UserErrorException


class InDirectory(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)
        before = os.getcwd()
        os.chdir(self.root)
        self.addCleanup(os.chdir, before)


class InARank(InDirectory):
    """MUSTER_METRICS is a file here, into which lines go just as into the FIFO."""

    def setUp(self):
        super().setUp()
        self.metrics = self.root / "ranks/00000/attempt-0/metrics.jsonl"
        self.metrics.parent.mkdir(parents=True)
        self.metrics.touch()
        variables = {"MUSTER_METRICS": str(self.metrics), "MUSTER_RUN_ID": "r1",
                     "AZUREML_RUN_ID": "r1", "AZUREML_EXPERIMENT_NAME": "exp",
                     "AZUREML_DATAREFERENCE_digits": "/d", "AZURE_ML_OUTPUT_model": "/m"}
        patch = mock.patch.dict(os.environ, variables)
        patch.start()
        self.addCleanup(patch.stop)

    def test_what_is_logged_is_what_is_read(self):
        run = Run.get_context(allow_offline=False)
        self.assertEqual(run.id, "r1")
        run.log("accuracy", 0.9)
        for step, loss in enumerate((3, 2.5, float("nan"))):
            run.log("loss", loss, step=step)
        run.log_list("list", [1, 2])
        run.log_row("row", x=1, y="a")
        run.log_row("row", x=2, y="b")
        run.log_table("table", {"p": [1, 2], "q": [3, 4]})
        run.tag("state", "good")
        metrics = metrics_of(read_records(self.root))
        self.assertTrue(math.isnan(metrics["loss"].pop()))
        self.assertEqual(metrics, {"accuracy": 0.9, "loss": [3, 2.5], "list": [1, 2],
                                   "row": {"x": [1, 2], "y": ["a", "b"]},
                                   "table": {"p": [1, 2], "q": [3, 4]}})
        self.assertEqual(tags_of(read_records(self.root)), {"state": "good"})

    def test_numpy_values_are_pythons(self):
        try:
            import numpy
        except ImportError:
            self.skipTest("no numpy")
        Run.get_context().log("a", numpy.float32(0.5))
        Run.get_context().log_list("b", numpy.arange(3))
        self.assertEqual(metrics_of(read_records(self.root)), {"a": 0.5, "b": [0, 1, 2]})

    def test_lines_of_other_shapes_count_as_far_as_they_are_understood(self):
        self.metrics.write_bytes(b'{"loss": 0.5, "step": 1}\nno json\n[1]\n{"loss": 0.25}\n'
                                 b'{"name": "x", "value": 7}\n{"cut": 1')
        self.assertEqual(metrics_of(read_records(self.root)), {"loss": [0.5, 0.25], "x": 7})

    def test_ranks_are_merged_by_time_and_only_the_last_attempt_counts(self):
        self.metrics.write_text('{"time": "3", "name": "a", "value": 30}\n')
        for place, line in (("ranks/00001/attempt-0", '{"time": "9", "name": "a", "value": 99}'),
                            ("ranks/00001/attempt-1", '{"time": "2", "name": "a", "value": 20}')):
            (self.root / place).mkdir(parents=True)
            (self.root / place / "metrics.jsonl").write_text(line + "\n")
        self.assertEqual(metrics_of(read_records(self.root)), {"a": [20, 30]})

    def test_a_long_line_through_a_fifo_is_whole(self):
        fifo = self.root / "fifo"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDWR)  # as the launcher holds it
        self.addCleanup(os.close, reader)
        received = bytearray()

        def read():
            while not received.endswith(b"\n"):
                received.extend(os.read(reader, 1 << 16))

        thread = threading.Thread(target=read)
        thread.start()
        with mock.patch.dict(os.environ, MUSTER_METRICS=str(fifo)):
            Run.get_context().log_list("long", list(range(50000)))
        thread.join(30)
        self.metrics.write_bytes(bytes(received))
        self.assertEqual(metrics_of(read_records(self.root))["long"], list(range(50000)))

    def test_inputs_by_name(self):
        self.assertEqual(Run.get_context().input_datasets, {"digits": "/d", "model": "/m"})

    def test_files_go_to_outputs_and_names_stay_inside(self):
        run = Run.get_context()
        (self.root / "a.txt").write_text("a")
        run.upload_file("outputs/x/a.txt", "a.txt")
        run.upload_file("b.bin", io.BytesIO(b"b"))
        run.log_image("my plot", path="a.txt")
        self.assertEqual((self.root / "outputs/x/a.txt").read_text(), "a")
        self.assertEqual((self.root / "outputs/b.bin").read_bytes(), b"b")
        self.assertEqual(metrics_of(read_records(self.root)), {"my plot": "outputs/my_plot.txt"})
        with self.assertRaisesRegex(UserErrorException, "is there already"):
            run.upload_file("outputs/x/a.txt", "a.txt")
        with self.assertRaisesRegex(UserErrorException, "no name of a file"):
            run.upload_file("outputs/../../a.txt", "a.txt")


class Offline(InDirectory):
    def test_values_are_printed(self):
        with mock.patch.dict(os.environ):
            os.environ.pop("MUSTER_METRICS", None)
            run = Run.get_context()
            with self.assertRaises(RunEnvironmentException):
                Run.get_context(allow_offline=False)
        self.assertTrue(run.id.startswith("OfflineRun_"))
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            run.log("loss", 0.5)
            run.log_row("row", a=1)
        self.assertEqual(said.getvalue(), "scalar loss: 0.5\nrow row: {'a': 1}\n")


if __name__ == "__main__":
    unittest.main()
