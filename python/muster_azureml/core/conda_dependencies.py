"""The packages of an environment, as a conda file holds them."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from muster_azureml.exceptions import UserErrorException


class CondaDependencies:
    """Conda packages, pip packages, channels.

    Nothing is added by itself: azureml-defaults, the SDK's inside part, is no use here.
    """

    DEFAULT_NUMBER_OF_CONDA_PACKAGES = 0

    def __init__(self, conda_dependencies_file_path: Optional[str] = None):
        self.conda_dependencies_file_path = conda_dependencies_file_path
        self.conda_packages: List[str] = []
        self.pip_packages: List[str] = []
        self.pip_options: List[str] = []
        self.conda_channels: List[str] = []
        self.python_version: Optional[str] = None

    @staticmethod
    def create(pip_indexurl: Optional[str] = None, pip_packages: Optional[List[str]] = None,
               conda_packages: Optional[List[str]] = None, python_version: Optional[str] = None,
               pin_sdk_version: bool = True) -> "CondaDependencies":
        made = CondaDependencies()
        for package in _names("pip_packages", pip_packages):
            made.add_pip_package(package)
        for package in _names("conda_packages", conda_packages):
            made.add_conda_package(package)
        if pip_indexurl:
            made.pip_options.append(f"--index-url {pip_indexurl}")
        if python_version:
            made.set_python_version(python_version)
        return made

    def add_pip_package(self, pip_package: str) -> None:
        if pip_package not in self.pip_packages:
            self.pip_packages.append(pip_package)

    def add_conda_package(self, conda_package: str) -> None:
        if conda_package not in self.conda_packages:
            self.conda_packages.append(conda_package)

    def add_channel(self, channel: str) -> None:
        if channel not in self.conda_channels:
            self.conda_channels.append(channel)

    def set_python_version(self, version: str) -> None:
        self.python_version = version

    def remove_pip_package(self, pip_package: str) -> None:
        self.pip_packages = [each for each in self.pip_packages if each != pip_package]

    def remove_conda_package(self, conda_package: str) -> None:
        self.conda_packages = [each for each in self.conda_packages if each != conda_package]

    def is_empty(self) -> bool:
        return not (self.conda_packages or self.pip_packages or self.conda_dependencies_file_path)

    def as_dict(self) -> Dict[str, Any]:
        """The conda file's mapping."""
        dependencies: List[Any] = []
        if self.python_version:
            dependencies.append(f"python={self.python_version}")
        dependencies.extend(self.conda_packages)
        if self.pip_packages:
            dependencies.append({"pip": self.pip_options + self.pip_packages})
        document: Dict[str, Any] = {"name": "project_environment", "dependencies": dependencies}
        if self.conda_channels:
            document["channels"] = list(self.conda_channels)
        return document


def _names(parameter: str, packages: Any) -> List[str]:
    """A text would be taken letter by letter."""
    if isinstance(packages, str):
        raise UserErrorException(f'{parameter} is the text "{packages}": it is a list, '
                                 f"{packages.split()!r}")
    return list(packages or [])
