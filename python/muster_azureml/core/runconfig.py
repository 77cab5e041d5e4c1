"""The run configuration: what a .runconfig file holds, as objects."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from muster_azureml._tell import Told, Unused
from muster_azureml.core.conda_dependencies import CondaDependencies
from muster_azureml.core.environment import Environment
from muster_azureml.data._bindings import Bindings
from muster_azureml.exceptions import RunConfigurationException

__all__ = ["CondaDependencies", "DataReferenceConfiguration", "DEFAULT_CPU_IMAGE",
           "DEFAULT_GPU_IMAGE", "DockerConfiguration", "Environment", "MpiConfiguration",
           "ParallelTaskConfiguration", "PyTorchConfiguration", "RunConfiguration",
           "TensorflowConfiguration"]

# Images are compared with the container around Muster, and none is around it by default.
DEFAULT_CPU_IMAGE = None
DEFAULT_GPU_IMAGE = None


def check_count(name: str, count: Any) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise RunConfigurationException(f"{name} is {count!r}: it is a whole number, 1 or more")
    return count


def check_optional_count(name: str, count: Any) -> Optional[int]:
    return None if count is None else check_count(name, count)


class MpiConfiguration:
    """Ranks that mpirun starts: so many on each node."""

    key = "mpi"  # its attribute in RunConfiguration
    communicator = "IntelMpi"
    framework = "Python"

    def __init__(self, process_count_per_node: int = 1, node_count: Optional[int] = None):
        self.process_count_per_node = check_count("process_count_per_node", process_count_per_node)
        self.node_count = check_optional_count("node_count", node_count)

    def to_document(self, node_count: int) -> Dict[str, Any]:
        check_count("process_count_per_node", self.process_count_per_node)
        return {"mpi": {"processCountPerNode": self.process_count_per_node,
                        "nodeCount": node_count}}


class PyTorchConfiguration:
    """Ranks that Muster starts itself: process_count in all, one on each node without it."""

    key = "pytorch"
    framework = "PyTorch"

    def __init__(self, communication_backend: str = "Nccl", process_count: Optional[int] = None,
                 node_count: Optional[int] = None):
        self.communication_backend = communication_backend
        self.process_count = check_optional_count("process_count", process_count)
        self.node_count = check_optional_count("node_count", node_count)
        self._check_backend()

    @property
    def communicator(self) -> str:
        self._check_backend()
        return self.communication_backend.capitalize()

    def _check_backend(self) -> None:
        """Another one would select another block, and process_count would not count."""
        if str(self.communication_backend).lower() not in ("nccl", "gloo"):
            raise RunConfigurationException(
                f"communication_backend is {self.communication_backend!r}: PyTorchConfiguration "
                "has Nccl and Gloo; for MPI use MpiConfiguration(process_count_per_node)")

    def to_document(self, node_count: int) -> Dict[str, Any]:
        self._check_backend()
        return {"pytorch": {"communicationBackend": self.communication_backend.lower(),
                            "processCount": self.process_count, "nodeCount": node_count}}


class TensorflowConfiguration:
    """Workers and parameter servers, both counted in all."""

    key = "tensorflow"
    framework = "TensorFlow"
    communicator = "ParameterServer"
    node_count: Optional[int] = None

    def __init__(self, worker_count: int = 1, parameter_server_count: int = 1):
        self.worker_count = worker_count
        self.parameter_server_count = parameter_server_count

    def to_document(self, node_count: int) -> Dict[str, Any]:
        return {"tensorflow": {"workerCount": self.worker_count,
                               "parameterServerCount": self.parameter_server_count}}


class ParallelTaskConfiguration:
    """Independent workers on each node."""

    key = "paralleltask"
    framework = "Python"
    communicator = "ParallelTask"

    def __init__(self, max_retries_per_worker: int = 0, worker_count_per_node: int = 1,
                 terminal_exit_codes: Optional[List[int]] = None):
        self.max_retries_per_worker = max_retries_per_worker
        self.worker_count_per_node = worker_count_per_node
        self.terminal_exit_codes = terminal_exit_codes
        self.node_count: Optional[int] = None

    def to_document(self, node_count: int) -> Dict[str, Any]:
        return {"paralleltask": {"maxRetriesPerWorker": self.max_retries_per_worker,
                                 "workerCountPerNode": self.worker_count_per_node,
                                 "terminalExitCodes": self.terminal_exit_codes}}


class DockerConfiguration:
    """The run-time docker block: recorded; Muster starts no containers."""

    def __init__(self, use_docker: Optional[bool] = None, shared_volumes: Optional[bool] = None,
                 arguments: Optional[List[str]] = None, shm_size: Optional[str] = None):
        self.use_docker = bool(use_docker)
        self.shared_volumes = True if shared_volumes is None else shared_volumes
        self.arguments = arguments or []
        self.shm_size = shm_size

    def to_document(self) -> Dict[str, Any]:
        document = {"useDocker": self.use_docker, "sharedVolumes": self.shared_volumes,
                    "arguments": self.arguments}
        if self.shm_size:
            document["shmSize"] = self.shm_size
        return document


class DataReferenceConfiguration:
    """An entry of RunConfiguration.data_references, field by field."""

    def __init__(self, datastore_name: Optional[str] = None, mode: str = "mount",
                 path_on_datastore: Optional[str] = None, path_on_compute: Optional[str] = None,
                 overwrite: bool = False):
        self.datastore_name = datastore_name
        self.mode = mode
        self.path_on_datastore = path_on_datastore
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite

    def to_entry(self) -> Dict[str, Any]:
        return {"dataStoreName": self.datastore_name, "pathOnDataStore": self.path_on_datastore,
                "mode": self.mode, "overwrite": self.overwrite,
                "pathOnCompute": self.path_on_compute}


class RunConfiguration(Told):
    """A run's numbers, environment and data; ScriptRunConfig adds what is run."""

    UNUSED = {"auto_prepare_environment": "environments are always made",
              "prepare_environment": "environments are always made",
              "priority": "there is no queue", "source_directory_data_store":
              "the source is copied into the run directory",
              "credential_passthrough": "credentials are those of the datastores"}

    def __init__(self, script: Optional[str] = None, arguments: Optional[List[Any]] = None,
                 framework: Optional[str] = None, communicator: Optional[str] = None,
                 conda_dependencies: Optional[CondaDependencies] = None):
        self.script = script
        self.arguments = arguments or []
        self.command: Any = None
        self.target = "local"
        self.framework = framework or "Python"
        self.communicator = communicator or "None"
        self.node_count = 1
        self.max_run_duration_seconds: Optional[int] = None
        self.environment = Environment()
        if conda_dependencies:
            self.environment.python.conda_dependencies = conda_dependencies
        self.environment_variables: Dict[str, str] = {}
        self.mpi = MpiConfiguration()
        self.pytorch = PyTorchConfiguration()
        self.tensorflow = TensorflowConfiguration()
        self.paralleltask = ParallelTaskConfiguration()
        self.docker: Optional[DockerConfiguration] = None
        self.data_references: Dict[str, Any] = {}
        self.data: Dict[str, Any] = {}
        self.output_data: Dict[str, Any] = {}
        for name, reason in (("amlcompute", "runs are on this machine"),
                             ("hdi", "runs are on this machine"),
                             ("spark", "no Spark is run here"),
                             ("history", "outputs and logs are always kept")):
            setattr(self, name, Unused(f"RunConfiguration.{name}", reason))
        self._fields_are_complete()

    @staticmethod
    def load(path: str, name: Optional[str] = None) -> "LoadedRunConfiguration":
        """A file in .azureml, aml_config, or named itself.  Muster reads it, not Python."""
        return LoadedRunConfiguration(_find(Path(path), name))

    def save(self, path: Optional[str] = None, name: Optional[str] = None) -> str:
        """Writes .azureml/NAME.runconfig below a directory, or the file itself; JSON."""
        target = Path(path or ".")
        if name or target.is_dir():
            target = target / ".azureml" / f"{name or 'run_config'}.runconfig"
        target.parent.mkdir(parents=True, exist_ok=True)
        document = self.to_document(Bindings("{run-id}"))
        target.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return str(target)

    def distribution(self):
        """The block of the communicator."""
        word = str(self.communicator or "None").lower()
        if word in ("mpi", "openmpi", "intelmpi"):
            return self.mpi
        if word in ("nccl", "gloo"):
            return self.pytorch
        return {"parameterserver": self.tensorflow, "paralleltask": self.paralleltask}.get(word)

    def to_document(self, bindings: Bindings) -> Dict[str, Any]:
        """The run configuration as the service and Muster read it."""
        from muster_azureml.core.compute import label_of

        for name, reference in self.data_references.items():
            if not bindings.add(reference):
                bindings.references[name] = reference.to_entry()
        for handle in (*self.data.values(), *self.output_data.values()):
            if not bindings.add(handle):
                raise RunConfigurationException(
                    f"{handle!r} in data or output_data: use as_named_input(…).as_mount() or "
                    "OutputFileDatasetConfig")
        document: Dict[str, Any] = {}
        if self.command:
            document["command"] = _command_text(self.command, bindings)
        else:
            document["script"] = self.script
            document["arguments"] = [bindings.argument(each) for each in self.arguments]
        document.update({
            "target": label_of(self.target), "framework": self.framework,
            "communicator": self.communicator, "nodeCount": self.node_count,
            "maxRunDurationSeconds": self.max_run_duration_seconds,
            "environment": self.environment.to_document()})
        block = self.distribution()
        if block:
            document.update(block.to_document(self.node_count))
        if self.docker:
            document["docker"] = self.docker.to_document()
        if self.environment_variables:
            document["environmentVariables"] = {name: str(value) for name, value
                                                in self.environment_variables.items()}
        document.update(bindings.to_document())
        return document


class LoadedRunConfiguration:
    """A run configuration in a file, in any spelling that Muster reads; it is run as it is."""

    def __init__(self, path: Path):
        object.__setattr__(self, "path", path)

    def __setattr__(self, name: str, value) -> None:
        raise RunConfigurationException(
            f"{name} of a loaded run configuration cannot be changed, for Muster reads the file "
            f"itself: change it in {self.path}, or make a RunConfiguration()")


def _command_text(command, bindings: Bindings) -> str:
    if isinstance(command, str):
        return command
    return " ".join(bindings.command_word(each) for each in command)


def _find(path: Path, name: Optional[str]) -> Path:
    if name is None:
        places = [path]
    else:
        folders = [path / ".azureml", path / "aml_config"]
        places = [folder / (name + end) for folder in folders for end in ("", ".runconfig")]
        places.append(path / f"{name}.runconfig")
    for place in places:
        if place.is_file():
            return place
    raise RunConfigurationException(
        f"cannot find a run configuration: looked for {', '.join(map(os.fspath, places))}")
