"""The data of one submission: handles become entries of the run configuration and text."""

from __future__ import annotations

from typing import Any, Dict, List

from muster_azureml.data.data_reference import DataReference
from muster_azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from muster_azureml.data.output_dataset_config import OutputFileDatasetConfig
from muster_azureml.exceptions import UserErrorException


class Bindings:
    """Collects the handles that inputs, script_params and arguments hold, each once."""

    def __init__(self, run_id: str):
        self.run_id = run_id
        self.references: Dict[str, Dict[str, Any]] = {}
        self.data: Dict[str, Dict[str, Any]] = {}
        self.outputs: Dict[str, Dict[str, Any]] = {}

    def add(self, handle) -> bool:
        """Whether it was a handle."""
        handle = as_handle(handle)
        if isinstance(handle, DataReference):
            self._put(self.references, handle.data_reference_name, handle.to_entry())
        elif isinstance(handle, DatasetConsumptionConfig):
            self._put(self.data, handle.name, handle.to_entry())
        elif isinstance(handle, OutputFileDatasetConfig):
            self._put(self.outputs, handle.name, handle.to_entry(self.run_id))
        else:
            return False
        return True

    def argument(self, item) -> str:
        """The text of an item of the arguments."""
        item = as_handle(item)
        self.add(item)
        return str(item)

    def command_word(self, item) -> str:
        """The same in a command, where a shell puts the path in its place."""
        item = as_handle(item)
        if self.add(item):
            name = getattr(item, "data_reference_name", None) or item.name
            return f"$AZUREML_DATAREFERENCE_{name}"
        return str(item)

    def to_document(self) -> Dict[str, Any]:
        return {"dataReferences": self.references, "data": self.data, "outputData": self.outputs}

    def _put(self, kind: Dict[str, Dict[str, Any]], name: str, entry: Dict[str, Any]) -> None:
        for others in (self.references, self.data, self.outputs):
            if name in others and (others is not kind or others[name] != entry):
                raise UserErrorException(
                    f'two inputs or outputs are named "{name}": give one of them another name '
                    "(data_reference_name, as_named_input, name)")
        kind[name] = entry


def as_handle(item):
    """A datastore or dataset by itself is its root, mounted, as in the SDK."""
    if hasattr(item, "as_default_handle"):
        return item.as_default_handle()
    return item


def flattened(script_params: Dict[str, Any]) -> List[Any]:
    """[name, value, name, value]; an empty value leaves the name alone, a list is several words."""
    words: List[Any] = []
    for name, value in script_params.items():
        if name != "":
            words.append(name)
        if isinstance(value, (list, tuple)):
            words.extend(value)
        elif value is not None and not (isinstance(value, str) and value == ""):
            words.append(value)
    return words
