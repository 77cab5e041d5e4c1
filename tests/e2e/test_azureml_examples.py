"""The Azure ML examples train, through muster, on data that they find mounted, and their model is in
the run's outputs and in the datastore that it is uploaded to."""

import importlib.util
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
import unittest

import muster_test

EXAMPLES = muster_test.SOURCE_DIR / "examples/azureml"


def needs_modules(*names):
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)} (scripts/setup)")


class ExampleTest(muster_test.MusterTest):
    made = None

    def setUp(self):
        super().setUp()
        # A copy: the examples' datastore lies beside its datastores.yaml.
        self.example = self.directory / "azureml"
        shutil.copytree(EXAMPLES, self.example,
                        ignore=shutil.ignore_patterns("data", "store", "runs", "__pycache__"))
        self.store = self.example / "store"
        shutil.copytree(self.digits(), self.store / "digits")

    def digits(self):
        """The data, made once for all tests."""
        if ExampleTest.made is None:
            ExampleTest.made = tempfile.TemporaryDirectory(prefix="muster-digits-")
            subprocess.run([sys.executable, "-B", EXAMPLES / "make_data.py", self.made.name],
                           check=True, stdout=subprocess.DEVNULL, timeout=120)
        return self.made.name

    def assert_nothing_mounted(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            self.assertEqual([line for line in file if str(self.directory) in line], [])


@needs_modules("numpy", "mpi4py", "sklearn")
@muster_test.needs_mpirun
class ConfigFiles(ExampleTest):
    def train(self, file, ranks, model):
        before = sorted((self.store / "digits").iterdir())
        result = self.run_muster(["run", self.example / file],
                                 env={"MUSTER_DATASTORES": self.example / "datastores.yaml"},
                                 timeout=180)
        self.assert_code(result, 0)
        self.assertTrue(result.rank_file(ranks - 1).exists())
        self.assertFalse(result.rank_file(ranks).exists())
        self.assertIn(f"on {ranks} ranks", result.rank_bytes(0).decode())
        for folder in (result.run_directory / "outputs", self.store / model):
            with self.subTest(folder=folder):
                trained = json.loads((folder / "result.json").read_text(encoding="utf-8"))
                self.assertGreater(trained["accuracy"], 0.9)
                self.assertEqual(trained["world_size"], ranks)
                self.assertEqual(trained["images"], 1500)
                self.assertEqual(trained["regularization"], 0.0001)
                self.assertTrue((folder / "weights.npy").is_file())
        self.assertEqual(sorted((self.store / "digits").iterdir()), before)
        self.assert_was_mounted(result.run_directory)
        self.assert_nothing_left()
        self.assert_nothing_mounted()
        self.assert_runtime_empty()
        return result

    def assert_was_mounted(self, run):
        plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
        (digits,) = [each for each in plan["data"] if each["name"].lower() == "digits"]
        self.assertEqual(digits["mode"], "mount")
        # Where mounting is not permitted it is a link, and the plan says so.
        self.assertIn(digits["means"], ("bind", "link"))
        events = [json.loads(line) for line
                  in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
        ready = [each for each in events if each["event"] == "mount_ready"]
        self.assertEqual(digits["name"] in [each["name"] for each in ready],
                         digits["means"] == "bind", events)

    def test_a_v1_run_configuration(self):
        self.train("project/.azureml/digits.runconfig", 4, "models/runconfig")

    def test_its_json_twin(self):
        self.train("project/.azureml/digits_json.runconfig", 4, "models/json")

    def test_a_v2_command_job(self):
        self.train("job.yml", 2, "models/job")

    def test_a_batch_ai_job(self):
        self.train("job.json", 2, "models/batchai")


@needs_modules("numpy", "sklearn")
class FirstEstimator(ExampleTest):
    def run_script(self, **variables):
        shutil.copytree(self.digits(), self.example / "data")
        env = self.environment({
            "PYTHONPATH": muster_test.SOURCE_DIR / "python", "MUSTER_RUNS_DIR": None,
            "MUSTER_EXECUTABLE": muster_test.MUSTER, "MUSTER_CACHE_DIR": self.directory / "cache",
            **variables})
        return subprocess.run([sys.executable, "-B", "first_estimator.py"], env=env,
                              cwd=self.example, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=180, check=False)

    def test_trains_and_leaves_the_downloaded_model(self):
        # scikit-learn is declared as a conda package; pip finds it in the Python that a venv is made
        # of, so that no network is needed.
        done = self.run_script(MUSTER_SET="environment.python.conda_packages_by=pip",
                               PIP_NO_INDEX="1")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("Uploaded data/images.npy", done.stdout)
        self.assertIn("regularization rate of 0.8", done.stdout)  # rank 0's log, streamed
        self.assertIn("\nCompleted\n", done.stdout)
        self.assertIn("'regularization rate': 0.8", done.stdout)
        with open(self.example / "sklearn_digits_model.pkl", "rb") as file:
            model = pickle.load(file)
        self.assertAlmostEqual(model.C, 1 / 0.8)
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        self.assertGreater(model.score(images / 16.0, labels), 0.9)
        (run,) = (self.example / "runs").iterdir()
        self.assertTrue(run.name.startswith("sklearn-digits_"), run)
        config = json.loads((run / "config.yaml").read_text(encoding="utf-8"))
        self.assertEqual(config["arguments"], ["--data-folder",
                                               "$AZUREML_DATAREFERENCE_workspaceblobstore",
                                               "--regularization", "0.8"])
        self.assert_nothing_left()
        self.assert_nothing_mounted()

    def test_without_a_conda_it_is_said_what_to_do(self):
        done = self.run_script(PATH="/usr/bin:/bin", MAMBA_EXE=None, CONDA_EXE=None)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("conda_packages_by", done.stderr)


if __name__ == "__main__":
    muster_test.main()
