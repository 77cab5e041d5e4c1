"""Where a run's output goes."""

from __future__ import annotations

import secrets
from typing import Any, Dict, Optional, Tuple, Union

from muster_azureml.data._names import check_data_name
from muster_azureml._tell import tell_unused
from muster_azureml.exceptions import UserErrorException

DestinationType = Optional[Union[Tuple[Any, str], Tuple[Any]]]


class OutputFileDatasetConfig:
    """A directory for a script's output; in arguments it stands for its path.

    Without a destination it stays in the run directory.  `{run-id}` in the destination's path is
    the run's id, `{output-name}` this output's name.  Without a name it has one of its own, for two
    outputs of one name would be one directory.
    """

    def __init__(self, name: Optional[str] = None, destination: DestinationType = None,
                 source: Optional[str] = None, **unused):
        tell_unused("OutputFileDatasetConfig", unused, {"partition_format": "datasets only"})
        self.name = check_data_name(name or f"output_{secrets.token_hex(4)}")
        self.destination = destination
        self.source = source
        self.mode = "mount"
        self.overwrite = False

    def as_mount(self, disable_metadata_cache: bool = False) -> "OutputFileDatasetConfig":
        tell_unused("OutputFileDatasetConfig.as_mount",
                    {"disable_metadata_cache": disable_metadata_cache},
                    {"disable_metadata_cache": "an option of the datastore's mount"})
        return self._changed("mount", self.overwrite)

    def as_upload(self, overwrite: bool = False, source_globs=None) -> "OutputFileDatasetConfig":
        if source_globs:
            raise UserErrorException("source_globs: everything in an output is uploaded; write only "
                                     "what is to be kept to it")
        return self._changed("upload", overwrite)

    def as_input(self, name: Optional[str] = None):
        raise UserErrorException("as_input: pipelines are not run here; give the next run a dataset "
                                 "of the same path: Dataset.File.from_files((datastore, path))")

    def register_on_complete(self, name: str, **_) -> "OutputFileDatasetConfig":
        raise UserErrorException(
            f'register_on_complete: datasets are not registered by runs; name "{name}" under '
            "assets: in datastores.yaml")

    def to_entry(self, run_id: str) -> Dict[str, Any]:
        """Its entry in a run configuration's outputData."""
        entry: Dict[str, Any] = {
            "mechanism": self.mode,
            "additionalOptions": {"pathOnCompute": self.source,
                                  "uploadOptions": {"overwrite": self.overwrite}}}
        if self.destination:
            datastore, path = (*self.destination, "")[:2]
            path = path.replace("{run-id}", run_id).replace("{output-name}", self.name)
            name = datastore if isinstance(datastore, str) else datastore.name
            entry["outputLocation"] = {"dataPath": {"datastoreName": name, "relativePath": path}}
        return entry

    def __str__(self) -> str:
        return f"DatasetOutputConfig:{self.name}"

    def _changed(self, mode: str, overwrite: bool) -> "OutputFileDatasetConfig":
        changed = OutputFileDatasetConfig(self.name, self.destination, self.source)
        changed.mode = mode
        changed.overwrite = overwrite
        return changed
