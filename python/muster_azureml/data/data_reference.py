"""A place in a datastore, and how a run gets at it."""

from __future__ import annotations

import re
from typing import Any, Dict, Optional

from muster_azureml.data._names import check_data_name, data_name_of, mark_of
from muster_azureml.exceptions import UserErrorException

MODES = ("mount", "download", "upload")


class DataReference:
    """What `datastore.path(…)` gives.  In script_params or arguments it stands for its path."""

    def __init__(self, datastore, data_reference_name: Optional[str] = None,
                 path_on_datastore: Optional[str] = None, mode: str = "mount",
                 path_on_compute: Optional[str] = None, overwrite: bool = False):
        if mode.lower() not in MODES:
            raise UserErrorException(f'mode "{mode}" of a data reference: one of {", ".join(MODES)}')
        self.datastore = datastore
        self.path_on_datastore = path_on_datastore
        self.mode = mode.lower()
        self.path_on_compute = path_on_compute
        self.overwrite = overwrite
        self._is_named = bool(data_reference_name)
        self.data_reference_name = check_data_name(data_reference_name or self._own_name())

    def path(self, path: Optional[str] = None,
             data_reference_name: Optional[str] = None) -> "DataReference":
        """A place below this one."""
        parts = [part.strip("/") for part in (self.path_on_datastore, path) if part]
        return DataReference(self.datastore, data_reference_name, "/".join(parts) or None,
                             self.mode, self.path_on_compute, self.overwrite)

    def as_mount(self) -> "DataReference":
        """Mounted before the run, once on each node."""
        return self._changed(mode="mount", path_on_compute=self.path_on_compute)

    def as_download(self, path_on_compute: Optional[str] = None,
                    overwrite: bool = False) -> "DataReference":
        """Copied to the node before the run."""
        return self._changed("download", path_on_compute or self.path_on_compute, overwrite)

    def as_upload(self, path_on_compute: Optional[str] = None,
                  overwrite: bool = False) -> "DataReference":
        """A directory whose files are copied to the datastore after the run."""
        return self._changed("upload", path_on_compute or self.path_on_compute, overwrite)

    def to_entry(self) -> Dict[str, Any]:
        """Its entry in a run configuration's dataReferences."""
        return {"dataStoreName": _name(self.datastore), "pathOnDataStore": self.path_on_datastore,
                "mode": self.mode, "overwrite": self.overwrite,
                "pathOnCompute": self.path_on_compute}

    def __str__(self) -> str:
        return f"$AZUREML_DATAREFERENCE_{self.data_reference_name}"

    def __repr__(self) -> str:
        return (f"DataReference({_name(self.datastore)}, {self.path_on_datastore or '/'}, "
                f"{self.mode})")

    def _changed(self, mode: str, path_on_compute: Optional[str],
                 overwrite: bool = False) -> "DataReference":
        return DataReference(self.datastore, self.data_reference_name if self._is_named else None,
                             self.path_on_datastore, mode, path_on_compute,
                             overwrite or self.overwrite)

    def _own_name(self) -> str:
        """Without a name of the user's: one that no reference to something else has."""
        path = (self.path_on_datastore or "").strip("/")
        place = f"{_name(self.datastore)}/{path}".rstrip("/")
        name = data_name_of(place)
        # "a/b" is all in the name; "a-b" and "a_b" would be the same.
        plain = re.fullmatch(r"[A-Za-z0-9]+(/[A-Za-z0-9]+)*", place) is not None
        if plain and self.mode == "mount" and not self.path_on_compute and not self.overwrite:
            return name
        return f"{name}_{self.mode}_{mark_of(self.to_entry())}"


def _name(datastore) -> str:
    return datastore if isinstance(datastore, str) else datastore.name
