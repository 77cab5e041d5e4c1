"""Datasets: a path in a datastore, a local path, a URL, or a name from datastores.yaml."""

from __future__ import annotations

import os
from typing import Any, Dict, Optional

from muster_azureml.data._names import mark_of
from muster_azureml.data.data_reference import DataReference
from muster_azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from muster_azureml.exceptions import UserErrorException


class FileDataset:
    """Files below one path."""

    def __init__(self, location: Dict[str, Any], label: str):
        self.location = location
        self.name = label

    def as_named_input(self, name: str) -> DatasetConsumptionConfig:
        return DatasetConsumptionConfig(name, self)

    def as_mount(self, path_on_compute: Optional[str] = None) -> DatasetConsumptionConfig:
        return self._unnamed("mount", path_on_compute)

    def as_download(self, path_on_compute: Optional[str] = None) -> DatasetConsumptionConfig:
        return self._unnamed("download", path_on_compute)

    def as_default_handle(self) -> DatasetConsumptionConfig:
        return self.as_mount()

    def to_location(self) -> Dict[str, Any]:
        return self.location

    def register(self, workspace, name: str, **_):
        raise UserErrorException(
            f'datasets are not registered from Python: write under assets: in datastores.yaml '
            f'"{name}:1": {self.name}')

    def _unnamed(self, mode: str, path_on_compute: Optional[str]) -> DatasetConsumptionConfig:
        """Under a name that no input of something else has."""
        return DatasetConsumptionConfig(f"input_{mark_of(self.location, mode, path_on_compute)}",
                                        self, mode, path_on_compute)

    def __repr__(self) -> str:
        return f"FileDataset({self.name})"


class FileDatasetFactory:
    """Dataset.File"""

    @staticmethod
    def from_files(path, validate: bool = True, **_) -> FileDataset:
        """From (datastore, path), datastore.path(…), a local path, or a URL.

        One folder or one file: `/**` at the end means the folder before it.
        """
        if isinstance(path, list):
            if len(path) != 1:
                raise UserErrorException(
                    f"a dataset of {len(path)} paths: an input has one path here; make a dataset "
                    "of each, with names of their own (as_named_input)")
            path = path[0]
        if isinstance(path, DataReference):
            path = (path.datastore, path.path_on_datastore or "")
        if isinstance(path, tuple):
            datastore, inside = path
            name = datastore if isinstance(datastore, str) else datastore.name
            inside = _folder_of(inside)
            return FileDataset({"dataPath": {"datastoreName": name, "relativePath": inside}},
                               f"datastore://{name}/{inside}")
        text = _folder_of(os.fspath(path))
        if "://" not in text:
            text = os.path.abspath(text)
        return FileDataset({"uri": {"path": text, "isFile": os.path.isfile(text)}}, text)


class Dataset:
    """azureml.core.Dataset: files only."""

    File = FileDatasetFactory

    @staticmethod
    def get_by_name(workspace, name: str, version="latest") -> FileDataset:
        """A name under assets: in datastores.yaml."""
        return FileDataset({"dataset": {"name": name, "version": str(version)}},
                           f"azureml:{name}:{version}")


class _NoTables:
    def __getattr__(self, name: str):
        raise UserErrorException(
            "tabular datasets are not read here: give the script the files (Dataset.File) and "
            "read them with pandas")


Dataset.Tabular = _NoTables()


def _folder_of(path: str) -> str:
    for end in ("/**/*", "/**", "/*"):
        if path.endswith(end):
            path = path[:-len(end)] or "/"
            break
    if any(letter in path for letter in "*?["):
        raise UserErrorException(
            f'"{path}" has wildcards: an input is one folder or one file here; name the folder')
    return path
