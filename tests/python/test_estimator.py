"""Estimators: the run configuration that they become, what they refuse, what they tell."""

import contextlib
import io
import os
import sys
import unittest

from muster_azureml.core import Environment
from muster_azureml.core.runconfig import MpiConfiguration, PyTorchConfiguration
from muster_azureml.data import DataReference
from muster_azureml.exceptions import TrainingException, UserErrorException
from muster_azureml.train.dnn import (Chainer, Gloo, Mpi, Nccl, ParameterServer, PyTorch,
                                      TensorFlow)
from muster_azureml.train.estimator import Estimator
from muster_azureml.train.sklearn import SKLearn


def quietly(make):
    """What was made, and the lines that were told meanwhile."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        made = make()
    return made, said.getvalue()


def document(estimator, **overrides):
    return estimator.submission("exp_1_a", **overrides).document


class Documents(unittest.TestCase):
    def test_the_classic_first_estimator(self):
        made = document(Estimator(
            source_directory="./my-sklearn-proj",
            script_params={"--data-folder": DataReference("blob", "digits", "/data").as_mount(),
                           "--regularization": 0.8},
            compute_target="cpu-cluster", entry_script="train.py",
            conda_packages=["scikit-learn"]))
        self.assertEqual(made["script"], "train.py")
        self.assertEqual(made["arguments"], ["--data-folder", "$AZUREML_DATAREFERENCE_digits",
                                             "--regularization", "0.8"])
        self.assertEqual(made["target"], "cpu-cluster")
        self.assertEqual(made["communicator"], "None")
        self.assertEqual(made["nodeCount"], 1)
        self.assertEqual(made["environment"]["python"],
                         {"interpreterPath": sys.executable, "userManagedDependencies": False,
                          "condaDependencies": {"name": "project_environment",
                                                "dependencies": ["scikit-learn"]}})
        self.assertEqual(made["dataReferences"], {"digits": {
            "dataStoreName": "blob", "pathOnDataStore": "/data", "mode": "mount",
            "overwrite": False, "pathOnCompute": None}})

    def test_mpi_by_the_old_words(self):
        made = document(Estimator(entry_script="t.py", node_count=2, process_count_per_node=4,
                                  distributed_backend="MPI"))
        self.assertEqual(made["communicator"], "IntelMpi")
        self.assertEqual(made["framework"], "Python")
        self.assertEqual(made["nodeCount"], 2)
        self.assertEqual(made["mpi"], {"processCountPerNode": 4, "nodeCount": 2})

    def test_mpi_by_the_new_words(self):
        for training in (MpiConfiguration(3), Mpi(3)):
            made = document(Estimator(entry_script="t.py", distributed_training=training))
            self.assertEqual((made["communicator"], made["mpi"]["processCountPerNode"]),
                             ("IntelMpi", 3))
        made = document(Estimator(entry_script="t.py", process_count_per_node=2,
                                  distributed_training=Mpi()))
        self.assertEqual(made["mpi"]["processCountPerNode"], 2)

    def test_frameworks(self):
        made = document(PyTorch(entry_script="t.py"))
        self.assertEqual((made["framework"], made["communicator"]), ("PyTorch", "None"))
        made = document(PyTorch(entry_script="t.py", distributed_training=MpiConfiguration(2)))
        self.assertEqual((made["framework"], made["communicator"]), ("Python", "IntelMpi"))
        made = document(PyTorch(entry_script="t.py", node_count=2, process_count_per_node=3,
                                distributed_training=Nccl()))
        self.assertEqual((made["framework"], made["communicator"]), ("PyTorch", "Nccl"))
        self.assertEqual(made["pytorch"], {"communicationBackend": "nccl", "processCount": 6,
                                           "nodeCount": 2})
        made = document(PyTorch(entry_script="t.py", distributed_training=Gloo()))
        self.assertEqual(made["pytorch"]["processCount"], None)
        made = document(TensorFlow(entry_script="t.py", distributed_backend="ps", worker_count=2,
                                   parameter_server_count=1, node_count=2))
        self.assertEqual((made["framework"], made["communicator"]),
                         ("TensorFlow", "ParameterServer"))
        self.assertEqual(made["tensorflow"], {"workerCount": 2, "parameterServerCount": 1})
        made = document(TensorFlow(entry_script="t.py", distributed_training=ParameterServer()))
        self.assertEqual(made["communicator"], "ParameterServer")
        self.assertEqual(document(Chainer(entry_script="t.py"))["framework"], "Python")
        self.assertEqual(document(SKLearn(entry_script="t.py"))["communicator"], "None")

    def test_nothing_to_install_is_the_interpreter_as_it_is(self):
        self.assertEqual(document(Estimator(entry_script="t.py"))["environment"]["python"],
                         {"interpreterPath": sys.executable, "userManagedDependencies": True})

    def test_packages_files_and_variables(self):
        made = Estimator("src", entry_script="t.py", pip_packages=["a==1", "b"],
                         conda_packages=["c"], pip_requirements_file="more.txt",
                         environment_variables={"N": 1}, custom_docker_base_image="img:1",
                         shm_size="2g", max_run_duration_seconds=60)
        environment = document(made)["environment"]
        self.assertEqual(environment["python"]["condaDependencies"]["dependencies"],
                         ["c", {"pip": ["a==1", "b"]}])
        self.assertEqual(environment["environmentVariables"], {"N": "1"})
        self.assertEqual(environment["docker"],
                         {"enabled": True, "baseImage": "img:1", "shmSize": "2g"})
        self.assertEqual(document(made)["maxRunDurationSeconds"], 60)
        self.assertEqual(made.submission("r").settings,
                         {"environment.python.pip_requirements_file":
                          os.path.abspath("src/more.txt")})
        made = document(Estimator("src", entry_script="t.py", conda_dependencies_file="env.yml"))
        self.assertEqual(made["environment"]["python"]["condaDependenciesFile"],
                         os.path.abspath("src/env.yml"))

    def test_an_environment_definition_is_taken_whole(self):
        environment = Environment("mine")
        environment.python.user_managed_dependencies = True
        environment.python.interpreter_path = "/opt/python"
        made = document(Estimator(entry_script="t.py", environment_definition=environment))
        self.assertEqual(made["environment"]["name"], "mine")
        self.assertEqual(made["environment"]["python"],
                         {"interpreterPath": "/opt/python", "userManagedDependencies": True})

    def test_script_params_are_flattened_in_order(self):
        made = document(Estimator(entry_script="t.py", script_params={
            "--b": 1.0, "--flag": "", "--none": None, "--layers": [64, 32], "": "positional",
            "--no": False, "--zero": 0}))
        self.assertEqual(made["arguments"],
                         ["--b", "1.0", "--flag", "--none", "--layers", "64", "32", "positional",
                          "--no", "False", "--zero", "0"])

    def test_submit_overrides(self):
        estimator = Estimator(entry_script="t.py", script_params={"--lr": 0.1})
        made = document(estimator, script_params={"--lr": 0.2},
                        inputs=[DataReference("blob", "x")])
        self.assertEqual(made["arguments"], ["--lr", "0.2"])
        self.assertEqual(list(made["dataReferences"]), ["x"])
        self.assertEqual(document(estimator)["arguments"], ["--lr", "0.1"])

    def test_resume_from_is_a_mount_and_an_argument(self):
        made = document(Estimator(entry_script="t.py",
                                  resume_from=DataReference("blob", "old", "models/3")))
        self.assertEqual(made["arguments"],
                         ["--resume-from", "$AZUREML_DATAREFERENCE_MODEL_LOCATION"])
        self.assertEqual(made["dataReferences"]["MODEL_LOCATION"]["pathOnDataStore"], "models/3")

    def test_several_nodes_are_one_here_and_that_is_told(self):
        made = Estimator(entry_script="t.py", node_count=3, distributed_backend="mpi")
        submission = made.submission("r")
        self.assertEqual(submission.options, ["--one-node"])
        self.assertEqual(submission.notes,
                         ["node_count is 3: this machine is one node, so all ranks run here"])
        self.assertEqual(Estimator(entry_script="t.py").submission("r").options, [])


class Refusals(unittest.TestCase):
    def assert_refused(self, text, kind=Estimator, **arguments):
        arguments.setdefault("entry_script", "t.py")
        with self.assertRaises(UserErrorException) as caught, \
                contextlib.redirect_stderr(io.StringIO()):
            kind(**arguments)
        self.assertIn(text, str(caught.exception))

    def test_two_of_one_thing(self):
        self.assert_refused("custom_docker_base_image and custom_docker_image are two names",
                            custom_docker_base_image="a", custom_docker_image="b")
        self.assert_refused("use_docker is False", use_docker=False, custom_docker_image="b")
        self.assert_refused("user_managed is True, and conda_packages, pip_packages is given",
                            user_managed=True, conda_packages=["a"], pip_packages=["b"])
        self.assert_refused("conda_dependencies_file and pip_packages are both given",
                            conda_dependencies_file="e.yml", pip_packages=["b"])
        self.assert_refused("environment_definition and pip_packages, shm_size are both given",
                            environment_definition=Environment("e"), pip_packages=["b"],
                            shm_size="1g")
        self.assert_refused("distributed_training and distributed_backend are both given",
                            distributed_training=Mpi(), distributed_backend="mpi")

    def test_several_processes_without_a_backend(self):
        self.assert_refused("node_count 2 and process_count_per_node 1 make 2 processes",
                            node_count=2)
        self.assert_refused("process_count_per_node 4 make 4 processes", process_count_per_node=4)
        self.assert_refused("node_count", kind=SKLearn, node_count=2)

    def test_wrong_values(self):
        self.assert_refused("process_count_per_node is 0", process_count_per_node=0)
        self.assert_refused("node_count is '2'", node_count="2")
        self.assert_refused("distributed_backend 'ps': here it is one of 'mpi'",
                            distributed_backend="ps")
        self.assert_refused("use MpiConfiguration", distributed_training="mpi")
        self.assert_refused("entry_script is missing", entry_script=None)
        self.assert_refused("is a notebook", entry_script="t.ipynb")
        with self.assertRaises(TrainingException):
            Estimator(entry_script="t.py", inputs=["data"]).submission("r")

    def test_what_means_nothing_here_is_told_in_one_line(self):
        _, said = quietly(lambda: Estimator(entry_script="t.py", vm_size="STANDARD_D2_V2",
                                            use_gpu=True, proces_count_per_node=4, user="me"))
        self.assertEqual(said, "muster_azureml: Estimator: not used here: proces_count_per_node "
                               "(unknown, did you mean process_count_per_node?), user (unknown), "
                               "vm_size (runs are on this machine), use_gpu (every rank sees the "
                               "GPUs of this machine)\n")
        _, said = quietly(lambda: Estimator(entry_script="t.py", compute_target="x", node_count=1))
        self.assertEqual(said, "")


if __name__ == "__main__":
    unittest.main()
