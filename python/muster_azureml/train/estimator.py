"""Estimator: the SDK's first way to say what is to be trained, and how."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Optional

from muster_azureml._submission import Submission, one_node_options
from muster_azureml._tell import tell_unused
from muster_azureml.core.compute import label_of
from muster_azureml.core.conda_dependencies import CondaDependencies
from muster_azureml.core.environment import Environment
from muster_azureml.core.runconfig import (MpiConfiguration, ParallelTaskConfiguration,
                                           RunConfiguration)
from muster_azureml.core.script_run_config import use_distribution
from muster_azureml.data._bindings import Bindings, as_handle, flattened
from muster_azureml.data.data_reference import DataReference
from muster_azureml.exceptions import TrainingException
from muster_azureml.train._distributed import (Gloo, Mpi, Nccl, ParameterServer, distribution_of)

__all__ = ["Estimator", "Gloo", "Mpi", "MpiConfiguration", "Nccl", "ParallelTaskConfiguration",
           "ParameterServer"]

# Arguments of the SDK that ask for something which is not here, and what is here instead.
UNUSED = {
    "vm_size": "runs are on this machine",
    "vm_priority": "runs are on this machine",
    "use_gpu": "every rank sees the GPUs of this machine",
    "use_docker": "Muster starts no containers",
    "image_registry_details": "Muster pulls no images",
    "source_directory_data_store": "the source is copied into the run directory",
    "framework_version": "the framework is the one that is installed, or that pip_packages names",
    "_disable_validation": "the checks stay",
    "_show_lint_warnings": "there is no linter here",
    "_show_package_warnings": "no packages are added",
}


class Estimator:
    """A script, its parameters and its environment; Experiment.submit runs it."""

    framework = "Python"
    backends = ("mpi",)

    def __init__(self, source_directory: str = ".", *, compute_target=None,
                 vm_size: Optional[str] = None, vm_priority: Optional[str] = None,
                 entry_script: Optional[str] = None,
                 script_params: Optional[Dict[str, Any]] = None, node_count: int = 1,
                 process_count_per_node: int = 1, distributed_backend: Optional[str] = None,
                 distributed_training=None, use_gpu: bool = False,
                 use_docker: Optional[bool] = None,
                 custom_docker_base_image: Optional[str] = None,
                 custom_docker_image: Optional[str] = None, image_registry_details=None,
                 user_managed: bool = False, conda_packages: Optional[List[str]] = None,
                 pip_packages: Optional[List[str]] = None,
                 conda_dependencies_file_path: Optional[str] = None,
                 pip_requirements_file_path: Optional[str] = None,
                 conda_dependencies_file: Optional[str] = None,
                 pip_requirements_file: Optional[str] = None,
                 environment_variables: Optional[Dict[str, str]] = None,
                 environment_definition: Optional[Environment] = None,
                 inputs: Optional[List[Any]] = None, source_directory_data_store=None,
                 shm_size: Optional[str] = None, resume_from: Optional[DataReference] = None,
                 max_run_duration_seconds: Optional[int] = None,
                 framework_version: Optional[str] = None, worker_count: int = 1,
                 parameter_server_count: int = 1, **others):
        unused = dict(others, vm_size=vm_size, vm_priority=vm_priority, use_gpu=use_gpu,
                      use_docker=use_docker, image_registry_details=image_registry_details,
                      source_directory_data_store=source_directory_data_store,
                      framework_version=framework_version)
        tell_unused(type(self).__name__, unused, UNUSED, ARGUMENTS)
        image = _one_of("custom_docker_base_image", custom_docker_base_image,
                        "custom_docker_image", custom_docker_image)
        if image and use_docker is False:
            raise TrainingException("use_docker is False, and custom_docker_image is given: "
                                    "write one of them")
        if not entry_script:
            raise TrainingException("entry_script is missing: it names the script in "
                                    f"source_directory ({source_directory}) that is to be run")
        if entry_script.endswith(".ipynb"):
            raise TrainingException(f"{entry_script} is a notebook: write it as a script "
                                    "(jupyter nbconvert --to script)")
        self.source_directory = source_directory
        self.script_params = dict(checked_params(script_params))
        self.inputs = list(inputs or [])
        self.resume_from = resume_from

        config = RunConfiguration(entry_script)
        config.framework = self.framework
        config.node_count = node_count
        config.max_run_duration_seconds = max_run_duration_seconds
        if compute_target is not None:
            config.target = label_of(compute_target)
        distribution = distribution_of(
            distributed_training, distributed_backend, node_count, process_count_per_node,
            self.backends, worker_count, parameter_server_count)
        if distribution is not None:
            use_distribution(config, distribution)
        config.environment = self._environment(
            environment_definition, image, user_managed, shm_size, environment_variables,
            conda_packages, pip_packages,
            _one_of("conda_dependencies_file", conda_dependencies_file,
                    "conda_dependencies_file_path", conda_dependencies_file_path),
            _one_of("pip_requirements_file", pip_requirements_file,
                    "pip_requirements_file_path", pip_requirements_file_path))
        self.run_config = config

    def submission(self, run_id: str, script_params: Optional[Dict[str, Any]] = None,
                   inputs: Optional[List[Any]] = None, **unused) -> Submission:
        """The overrides are those that the SDK allows at submit time."""
        tell_unused("submit", unused, UNUSED, ("script_params", "inputs"))
        bindings = Bindings(run_id)
        for handle in self.inputs if inputs is None else inputs:
            if not bindings.add(handle):
                raise TrainingException(f"{handle!r} in inputs: use datastore.as_mount(), "
                                        "datastore.path(…) or dataset.as_named_input(…)")
        words = flattened(self.script_params if script_params is None
                          else checked_params(script_params))
        if self.resume_from is not None:
            words += ["--resume-from", _model_location(self.resume_from)]
        self.run_config.arguments = words
        notes: List[str] = []
        return Submission(
            self.run_config.to_document(bindings), os.path.abspath(self.source_directory),
            settings=self.run_config.environment.settings(),
            options=one_node_options(self.run_config.node_count, notes), notes=notes)

    def _environment(self, definition, image, user_managed, shm_size, variables, conda_packages,
                     pip_packages, conda_file, pip_file) -> Environment:
        packages = {"conda_packages": conda_packages, "pip_packages": pip_packages,
                    "conda_dependencies_file": conda_file, "pip_requirements_file": pip_file}
        given = [name for name, value in packages.items() if value]
        if definition is not None:
            others = dict(packages, custom_docker_image=image, user_managed=user_managed,
                          shm_size=shm_size, environment_variables=variables)
            clash = [name for name, value in others.items() if value]
            if clash:
                raise TrainingException(f"environment_definition and {', '.join(clash)} are both "
                                        "given: write it in the environment")
            return definition
        if user_managed and given:
            raise TrainingException(f"user_managed is True, and {', '.join(given)} is given: with "
                                    "user_managed, packages are yours to install")
        if conda_file and len(given) > 1:
            given.remove("conda_dependencies_file")
            raise TrainingException(f"conda_dependencies_file and {', '.join(given)} are both "
                                    "given: write all packages in the file")
        made = Environment()
        made.environment_variables = dict(variables or {})
        made.docker.enabled = bool(image)
        made.docker.base_image = image
        made.docker.shm_size = shm_size
        made.python.user_managed_dependencies = user_managed
        made.python.conda_dependencies = CondaDependencies.create(
            pip_packages=pip_packages, conda_packages=conda_packages)
        made.python.conda_dependencies_file = self._in_source(conda_file)
        made.pip_requirements_file = self._in_source(pip_file)
        return made

    def _in_source(self, path: Optional[str]) -> Optional[str]:
        """Files of packages lie in the source directory."""
        return os.path.abspath(os.path.join(self.source_directory, path)) if path else None


# For guessing what a misspelt argument was meant to be.
ARGUMENTS = tuple(name for name in Estimator.__init__.__code__.co_varnames
                  [1:1 + Estimator.__init__.__code__.co_argcount
                   + Estimator.__init__.__code__.co_kwonlyargcount])


def checked_params(script_params) -> Dict[str, Any]:
    if script_params is not None and not isinstance(script_params, dict):
        raise TrainingException(f"script_params is {script_params!r}: it is a map of name and "
                                'value, {"--lr": 0.1}')
    return script_params or {}


def _one_of(name: str, value, other_name: str, other):
    if value and other:
        raise TrainingException(f"{name} and {other_name} are two names of one thing, and both are "
                                "given: write one of them")
    return value or other


def _model_location(handle) -> DataReference:
    handle = as_handle(handle)
    if not isinstance(handle, DataReference):
        raise TrainingException("resume_from: give a place in a datastore, datastore.path(…)")
    return DataReference(handle.datastore, "MODEL_LOCATION", handle.path_on_datastore, "mount",
                         handle.path_on_compute)
