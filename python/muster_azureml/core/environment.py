"""The environment of the program: interpreter, packages, variables, image."""

from __future__ import annotations

import os
import sys
from typing import Any, Dict, List, Optional

from muster_azureml._tell import Told, Unused, tell
from muster_azureml.core.conda_dependencies import CondaDependencies
from muster_azureml.exceptions import UserErrorException


class PythonSection(Told):
    """environment.python"""

    def __init__(self):
        self.user_managed_dependencies = False
        self.interpreter_path = "python"
        self.conda_dependencies: Optional[CondaDependencies] = CondaDependencies()
        self.conda_dependencies_file: Optional[str] = None
        self.base_conda_environment: Optional[str] = None
        self._fields_are_complete()

    def to_document(self) -> Dict[str, Any]:
        # The Python that submits is the Python that trains, or that a venv is made from: what it
        # can import is what a user expects the run to import.
        interpreter = self.interpreter_path
        if interpreter == "python":
            interpreter = sys.executable or interpreter
        document: Dict[str, Any] = {"interpreterPath": interpreter,
                                    "userManagedDependencies": self.user_managed_dependencies}
        if self.base_conda_environment:
            document["baseCondaEnvironment"] = self.base_conda_environment
        packages = self.conda_dependencies
        file = self.conda_dependencies_file
        if packages and packages.conda_dependencies_file_path:
            file = packages.conda_dependencies_file_path
        if self.user_managed_dependencies:
            return document
        if file:
            document["condaDependenciesFile"] = os.path.abspath(file)
        elif packages and not packages.is_empty():
            document["condaDependencies"] = packages.as_dict()
        else:
            document["userManagedDependencies"] = True  # there is nothing to make
        return document


class DockerSection(Told):
    """environment.docker"""

    UNUSED = {"gpu_support": "every rank sees the GPUs of this machine",
              "shared_volumes": "Muster starts no containers"}

    def __init__(self):
        self.enabled = False
        self.base_image: Optional[str] = None
        self.base_dockerfile: Optional[str] = None
        self.shm_size: Optional[str] = None
        self.arguments: List[str] = []
        self.base_image_registry = Unused("DockerSection.base_image_registry",
                                          "Muster pulls no images")
        self._fields_are_complete()

    def to_document(self) -> Dict[str, Any]:
        document: Dict[str, Any] = {"enabled": self.enabled}
        for name, value in (("baseImage", self.base_image), ("shmSize", self.shm_size),
                            ("baseDockerfile", self.base_dockerfile),
                            ("arguments", self.arguments)):
            if value:
                document[name] = value
        return document


class Environment(Told):
    """A named environment; `register` keeps nothing, for names are looked up nowhere."""

    UNUSED = {"inferencing_stack_version": "models are not deployed here"}

    def __init__(self, name: str = "default-environment"):
        self.name = name
        self.version: Optional[str] = None
        self.python = PythonSection()
        self.docker = DockerSection()
        self.environment_variables: Dict[str, str] = {}
        self.pip_requirements_file: Optional[str] = None
        self.spark = Unused("Environment.spark", "no Spark is run here")
        self._fields_are_complete()

    @staticmethod
    def from_conda_specification(name: str, file_path: str) -> "Environment":
        made = Environment(name)
        made.python.conda_dependencies_file = _existing(file_path)
        return made

    @staticmethod
    def from_pip_requirements(name: str, file_path: str) -> "Environment":
        made = Environment(name)
        made.pip_requirements_file = _existing(file_path)
        return made

    @staticmethod
    def from_docker_image(name: str, image: str, **_) -> "Environment":
        made = Environment(name)
        made.docker.enabled = True
        made.docker.base_image = image
        return made

    @staticmethod
    def get(workspace, name: str, version: Optional[str] = None) -> "Environment":
        """A curated or registered one: only its name is known, so its packages cannot be made."""
        tell(f"environment {name}: it is kept by the service, so nothing of it is made; the script "
             f"runs with {sys.executable or 'python'} as it is")
        made = Environment(name)
        made.version = version
        made.python.user_managed_dependencies = True
        return made

    def register(self, workspace) -> "Environment":
        return self

    def clone(self, new_name: str) -> "Environment":
        import copy

        made = copy.deepcopy(self)
        made.name = new_name
        return made

    def settings(self) -> Dict[str, str]:
        """What Muster's own keys say better than the run configuration's."""
        if not self.pip_requirements_file or self.python.user_managed_dependencies:
            return {}
        return {"environment.python.pip_requirements_file":
                os.path.abspath(self.pip_requirements_file)}

    def to_document(self) -> Dict[str, Any]:
        python = self.python.to_document()
        if self.settings():
            python["userManagedDependencies"] = False
        return {"name": self.name, "python": python, "docker": self.docker.to_document(),
                "environmentVariables": {name: str(value) for name, value
                                         in self.environment_variables.items()}}


def _existing(path: str) -> str:
    if not os.path.isfile(path):
        raise UserErrorException(f"there is no file {path}")
    return os.path.abspath(path)
