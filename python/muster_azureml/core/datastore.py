"""Datastores: places that datastores.yaml names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from muster_azureml.core._datastore_files import files_of
from muster_azureml.data.data_reference import DataReference
from muster_azureml.exceptions import UserErrorException


class Datastore:
    """One of them; `Datastore(workspace, name)` and `Datastore.get(workspace, name)` find it."""

    def __init__(self, workspace, name: Optional[str] = None):
        known = workspace.datastore_facts()
        self.workspace = workspace
        self.name = name or workspace.default_datastore_name()
        if self.name not in known:
            raise UserErrorException(
                f'no datastore is named "{self.name}" in {workspace.datastores_file()}; it has: '
                f'{", ".join(known) or "none"}')
        self.facts: Dict[str, Any] = known[self.name]

    @staticmethod
    def get(workspace, datastore_name: str) -> "Datastore":
        return Datastore(workspace, datastore_name)

    @staticmethod
    def get_default(workspace) -> "Datastore":
        return workspace.get_default_datastore()

    @staticmethod
    def register_azure_blob_container(workspace, datastore_name: str, container_name: str,
                                      account_name: str, **_) -> "Datastore":
        raise UserErrorException(
            f"datastores are not registered from Python: name {datastore_name} in datastores.yaml "
            f"with type: rclone and remote: REMOTE:{container_name}, where REMOTE is an azureblob "
            f"remote of rclone with account {account_name}")

    @property
    def datastore_type(self) -> str:
        return self.facts["type"]

    def path(self, path: Optional[str] = None,
             data_reference_name: Optional[str] = None) -> DataReference:
        return DataReference(self, data_reference_name, path)

    def as_mount(self) -> DataReference:
        return self.path().as_mount()

    def as_download(self, path_on_compute: Optional[str] = None) -> DataReference:
        return self.path().as_download(path_on_compute)

    def as_upload(self, path_on_compute: Optional[str] = None) -> DataReference:
        return self.path().as_upload(path_on_compute)

    def as_default_handle(self) -> DataReference:
        return self.as_mount()

    def upload(self, src_dir: str, target_path: Optional[str] = None, overwrite: bool = False,
               show_progress: bool = True) -> DataReference:
        """Copies everything below a local directory; names that exist stay unless overwritten."""
        root = Path(src_dir)
        if not root.is_dir():
            raise UserErrorException(f"cannot upload {src_dir}: it is no directory")
        files = [str(each) for each in sorted(root.rglob("*")) if each.is_file()]
        return self.upload_files(files, src_dir, target_path, overwrite, show_progress)

    def upload_files(self, files: List[str], relative_root: Optional[str] = None,
                     target_path: Optional[str] = None, overwrite: bool = False,
                     show_progress: bool = True) -> DataReference:
        """Copies local files; below relative_root they keep their folders."""
        target = (target_path or "").strip("/")
        store = files_of(self.name, self.facts)
        for file in files:
            name = os.path.relpath(file, relative_root) if relative_root else os.path.basename(file)
            if name.startswith(".."):
                raise UserErrorException(f"{file} does not lie below {relative_root}")
            copied = store.put(file, "/".join(filter(None, [target, name])), overwrite)
            if show_progress:
                print(f"Uploaded {file}" if copied
                      else f"Skipped {file}: it is there already (overwrite=True replaces it)")
        return self.path(target or None)

    def download(self, target_path: str, prefix: Optional[str] = None, overwrite: bool = False,
                 show_progress: bool = True) -> int:
        """Copies what lies below `prefix` into a local directory; how many files."""
        store = files_of(self.name, self.facts)
        count = 0
        for name in store.names((prefix or "").strip("/")):
            target = Path(target_path) / name
            if target.exists() and not overwrite:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            store.get(name, target)
            count += 1
            if show_progress:
                print(f"Downloaded {target}")
        return count

    def __repr__(self) -> str:
        return f"Datastore({self.name}, {self.datastore_type})"
