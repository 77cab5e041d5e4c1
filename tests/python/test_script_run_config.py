"""ScriptRunConfig and RunConfiguration: the document that they become."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

from muster_azureml.core import Dataset, Environment, RunConfiguration, ScriptRunConfig
from muster_azureml.core.conda_dependencies import CondaDependencies
from muster_azureml.core.runconfig import (DataReferenceConfiguration, DockerConfiguration,
                                           MpiConfiguration, ParallelTaskConfiguration,
                                           PyTorchConfiguration, TensorflowConfiguration)
from muster_azureml.data import DataReference, OutputFileDatasetConfig
from muster_azureml.exceptions import RunConfigurationException, UserErrorException


def document(**arguments):
    return ScriptRunConfig(**arguments).submission("exp_1_a").document
from muster_azureml.train.estimator import Estimator


class Documents(unittest.TestCase):
    def test_script_and_arguments(self):
        data = Dataset.File.from_files(("blob", "digits/**")).as_named_input("digits").as_mount()
        made = document(source_directory="src", script="train.py",
                        arguments=["--lr", 1.0, "--data", data, "--out",
                                   OutputFileDatasetConfig("model", ("blob", "m/{run-id}"))
                                   .as_upload(overwrite=True),
                                   "--old", DataReference("blob", "old"), "$LOCAL_RANK"])
        self.assertEqual(made["arguments"],
                         ["--lr", "1.0", "--data", "DatasetConsumptionConfig:digits", "--out",
                          "DatasetOutputConfig:model", "--old", "$AZUREML_DATAREFERENCE_old",
                          "$LOCAL_RANK"])
        self.assertEqual(made["data"]["digits"], {
            "dataLocation": {"dataPath": {"datastoreName": "blob", "relativePath": "digits"}},
            "mechanism": "mount", "environmentVariableName": "digits", "pathOnCompute": None,
            "overwrite": False})
        self.assertEqual(made["outputData"]["model"], {
            "mechanism": "upload",
            "additionalOptions": {"pathOnCompute": None, "uploadOptions": {"overwrite": True}},
            "outputLocation": {"dataPath": {"datastoreName": "blob",
                                            "relativePath": "m/exp_1_a"}}})
        self.assertNotIn("command", made)

    def test_a_command_as_text_and_as_words(self):
        self.assertEqual(document(command="python train.py --lr 0.1")["command"],
                         "python train.py --lr 0.1")
        data = Dataset.File.from_files("/data/digits").as_named_input("digits").as_mount()
        made = document(command=["python", "train.py", "--data", data])
        self.assertEqual(made["command"],
                         "python train.py --data $AZUREML_DATAREFERENCE_digits")
        self.assertEqual(made["data"]["digits"]["dataLocation"],
                         {"uri": {"path": "/data/digits", "isFile": False}})
        self.assertNotIn("script", made)

    def test_distributions(self):
        made = document(script="t.py", distributed_job_config=MpiConfiguration(4, node_count=2))
        self.assertEqual((made["communicator"], made["nodeCount"]), ("IntelMpi", 2))
        self.assertEqual(made["mpi"], {"processCountPerNode": 4, "nodeCount": 2})
        made = document(script="t.py", distributed_job_config=PyTorchConfiguration("Gloo", 4))
        self.assertEqual((made["framework"], made["communicator"]), ("PyTorch", "Gloo"))
        self.assertEqual(made["pytorch"], {"communicationBackend": "gloo", "processCount": 4,
                                           "nodeCount": 1})
        made = document(script="t.py", distributed_job_config=TensorflowConfiguration(2, 1))
        self.assertEqual(made["tensorflow"], {"workerCount": 2, "parameterServerCount": 1})
        made = document(script="t.py", distributed_job_config=ParallelTaskConfiguration(
            worker_count_per_node=3))
        self.assertEqual(made["communicator"], "ParallelTask")
        self.assertEqual(made["paralleltask"]["workerCountPerNode"], 3)

    def test_a_run_configuration(self):
        config = RunConfiguration()
        config.target = "cluster"
        config.communicator = "OpenMpi"
        config.mpi.process_count_per_node = 2
        config.node_count = 2
        config.environment.python.user_managed_dependencies = True
        config.environment_variables = {"A": "b"}
        config.data_references = {"d": DataReferenceConfiguration("blob", "download", "p")}
        before = vars(config).copy()
        source = ScriptRunConfig("src", "t.py", run_config=config, compute_target="other",
                                 max_run_duration_seconds=9,
                                 docker_runtime_config=DockerConfiguration(True, shm_size="4g"))
        submission = source.submission("r")
        made = submission.document
        self.assertEqual((made["target"], made["communicator"]), ("other", "OpenMpi"))
        self.assertEqual(made["mpi"], {"processCountPerNode": 2, "nodeCount": 2})
        self.assertEqual(made["environment"]["python"],
                         {"interpreterPath": sys.executable, "userManagedDependencies": True})
        self.assertEqual(made["environmentVariables"], {"A": "b"})
        self.assertEqual(made["dataReferences"]["d"]["mode"], "download")
        self.assertEqual(made["docker"]["shmSize"], "4g")
        self.assertEqual(made["maxRunDurationSeconds"], 9)
        self.assertEqual(submission.options, ["--one-node"])
        self.assertEqual(submission.source_directory, os.path.abspath("src"))
        self.assertEqual(vars(config), before, "the caller's own object was changed")

    def test_environments(self):
        with tempfile.TemporaryDirectory() as directory:
            conda, pip = Path(directory, "c.yml"), Path(directory, "r.txt")
            conda.write_text("dependencies: [numpy]\n")
            pip.write_text("numpy\n")
            made = document(script="t.py", environment=Environment.from_conda_specification(
                "e", str(conda)))
            self.assertEqual(made["environment"]["python"]["condaDependenciesFile"], str(conda))
            source = ScriptRunConfig(script="t.py", environment=Environment.from_pip_requirements(
                "e", str(pip)))
            submission = source.submission("r")
            self.assertEqual(submission.settings,
                             {"environment.python.pip_requirements_file": str(pip)})
            python = submission.document["environment"]["python"]
            self.assertFalse(python["userManagedDependencies"])
            with self.assertRaisesRegex(UserErrorException, "there is no file"):
                Environment.from_pip_requirements("e", directory + "/none.txt")

    def test_conda_dependencies(self):
        packages = CondaDependencies.create(pip_packages=["a"], conda_packages=["b"],
                                            python_version="3.8", pip_indexurl="http://i")
        packages.add_channel("conda-forge")
        packages.add_pip_package("c")
        packages.add_pip_package("a")
        self.assertEqual(packages.as_dict(), {
            "name": "project_environment", "channels": ["conda-forge"],
            "dependencies": ["python=3.8", "b", {"pip": ["--index-url http://i", "a", "c"]}]})


class Files(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = Path(scratch.name)

    def test_saves_and_finds_what_was_saved(self):
        config = RunConfiguration("t.py", ["--a", 1])
        path = config.save(str(self.root), "train")
        self.assertEqual(path, str(self.root / ".azureml/train.runconfig"))
        self.assertEqual(json.loads(Path(path).read_text())["arguments"], ["--a", "1"])
        loaded = RunConfiguration.load(str(self.root), "train")
        self.assertEqual(str(loaded.path), path)
        submission = ScriptRunConfig(str(self.root), run_config=loaded).submission("r")
        self.assertEqual((submission.document, submission.file), (None, path))

    def test_a_loaded_file_is_run_as_it_is(self):
        path = self.root / "my.runconfig"
        path.write_text("script: t.py\n")
        loaded = RunConfiguration.load(str(path))
        with self.assertRaisesRegex(RunConfigurationException, "node_count of a loaded run"):
            loaded.node_count = 2
        with self.assertRaisesRegex(RunConfigurationException, "beside a loaded run"):
            ScriptRunConfig(".", script="x.py", run_config=loaded)
        with self.assertRaisesRegex(RunConfigurationException, "cannot find a run configuration"):
            RunConfiguration.load(str(self.root), "none")


class Refusals(unittest.TestCase):
    def test_contradictions(self):
        with self.assertRaisesRegex(RunConfigurationException, "command and script"):
            ScriptRunConfig(script="t.py", command="x")
        with self.assertRaisesRegex(RunConfigurationException, "neither script nor command"):
            document()
        with self.assertRaisesRegex(RunConfigurationException, "is a notebook"):
            document(script="t.ipynb")

    def test_a_backend_that_would_not_count(self):
        with self.assertRaisesRegex(RunConfigurationException, "'MPI': PyTorchConfiguration has"):
            PyTorchConfiguration("MPI", process_count=2)
        changed = PyTorchConfiguration("gloo", 2)
        changed.communication_backend = "Mpi"
        with self.assertRaisesRegex(RunConfigurationException, "use MpiConfiguration"):
            document(script="t.py", distributed_job_config=changed)
        for make in (lambda: MpiConfiguration(0), lambda: MpiConfiguration("2"),
                     lambda: PyTorchConfiguration("Nccl", -1),
                     lambda: PyTorchConfiguration("Nccl", 2, node_count=0)):
            with self.assertRaisesRegex(RunConfigurationException, "a whole number, 1 or more"):
                make()

    def test_a_text_is_no_list(self):
        with self.assertRaisesRegex(RunConfigurationException, r"a list, \['--a', '1'\]"):
            ScriptRunConfig(script="t.py", arguments="--a 1")
        with self.assertRaisesRegex(UserErrorException, 'pip_packages is the text "numpy"'):
            CondaDependencies.create(pip_packages="numpy")
        with self.assertRaisesRegex(UserErrorException, 'conda_packages is the text "numpy"'):
            Estimator(entry_script="t.py", conda_packages="numpy")
        with self.assertRaisesRegex(UserErrorException, "it is a map of name and value"):
            Estimator(entry_script="t.py", script_params=["--a", 1])

    def test_fields_that_mean_nothing_here_are_told(self):
        config = RunConfiguration()
        with contextlib.redirect_stderr(io.StringIO()) as said:
            config.node_cuont = 2
            config.amlcompute.vm_size = "STANDARD_D2_V2"
            config.environment.docker.gpu_support = True
            config.environment.python.user_manged_dependencies = True
            config.node_count = 1
            config.environment.docker.base_image = None
        self.assertEqual(said.getvalue().splitlines(), [
            "muster_azureml: RunConfiguration: not used here: node_cuont (unknown, did you mean "
            "node_count?)",
            "muster_azureml: RunConfiguration.amlcompute: not used here: vm_size (runs are on this "
            "machine)",
            "muster_azureml: DockerSection: not used here: gpu_support (every rank sees the GPUs of "
            "this machine)",
            "muster_azureml: PythonSection: not used here: user_manged_dependencies (unknown, did "
            "you mean user_managed_dependencies?)"])


if __name__ == "__main__":
    unittest.main()
