"""A dataset under the name and in the mode in which a run reads it."""

from __future__ import annotations

from typing import Any, Dict, Optional

from muster_azureml.data._names import check_data_name
from muster_azureml.exceptions import UserErrorException

MODES = ("direct", "mount", "download")


class DatasetConsumptionConfig:
    """What `dataset.as_named_input(…)` gives."""

    def __init__(self, name: str, dataset, mode: str = "direct",
                 path_on_compute: Optional[str] = None):
        if mode.lower() not in MODES:
            raise UserErrorException(f'mode "{mode}" of a dataset: one of {", ".join(MODES)}')
        self.name = check_data_name(name)
        self.dataset = dataset
        self.mode = mode.lower()
        self.path_on_compute = path_on_compute

    def as_mount(self, path_on_compute: Optional[str] = None) -> "DatasetConsumptionConfig":
        return DatasetConsumptionConfig(self.name, self.dataset, "mount", path_on_compute)

    def as_download(self, path_on_compute: Optional[str] = None) -> "DatasetConsumptionConfig":
        return DatasetConsumptionConfig(self.name, self.dataset, "download", path_on_compute)

    def to_entry(self) -> Dict[str, Any]:
        """Its entry in a run configuration's data."""
        return {"dataLocation": self.dataset.to_location(), "mechanism": self.mode,
                "environmentVariableName": self.name, "pathOnCompute": self.path_on_compute,
                "overwrite": False}

    def __str__(self) -> str:
        return f"DatasetConsumptionConfig:{self.name}"
