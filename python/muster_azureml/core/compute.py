"""Compute targets: names are accepted as labels, for Muster runs where it is started."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

from muster_azureml._tell import tell
from muster_azureml.exceptions import ComputeTargetException

__all__ = ["AmlCompute", "ComputeInstance", "ComputeTarget"]


class ComputeTarget:
    """A name.  Nothing is looked up or made, so no name is ever unknown."""

    type = "Label"
    provisioning_state = "Succeeded"
    provisioning_errors = None

    def __init__(self, workspace, name: str):
        self.workspace = workspace
        self.name = name

    @staticmethod
    def create(workspace, name: str, provisioning_configuration) -> "ComputeTarget":
        tell(f"compute target {name}: nothing is made; runs are on this machine")
        return AmlCompute(workspace, name, provisioning_configuration)

    @staticmethod
    def list(workspace) -> List["ComputeTarget"]:
        return list(workspace.compute_targets.values())

    def wait_for_completion(self, show_output: bool = False, **_) -> None:
        if show_output:
            print(f"compute target {self.name}: a label; runs are on this machine")

    def get_status(self) -> "ComputeTarget":
        return self

    def serialize(self) -> Dict[str, Any]:
        return {"name": self.name, "type": self.type, "provisioningState": self.provisioning_state}

    def delete(self) -> None:
        """Nothing was made."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


class AmlCompute(ComputeTarget):
    """A cluster's name; its size is not used: node_count of a run counts."""

    type = "AmlCompute"

    def __init__(self, workspace, name: str, configuration: Optional["Provisioning"] = None):
        super().__init__(workspace, name)
        self.configuration = configuration

    @staticmethod
    def provisioning_configuration(**settings) -> "Provisioning":
        return Provisioning(settings)


class ComputeInstance(AmlCompute):
    """A single machine's name."""

    type = "ComputeInstance"


class Provisioning:
    """What provisioning_configuration was told; nothing reads it but whoever made it."""

    def __init__(self, settings: Dict[str, Any]):
        self.settings = settings

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["settings"][name]
        except KeyError:
            raise AttributeError(name) from None


class Labels(dict):
    """workspace.compute_targets: whatever name is asked for is there."""

    def __init__(self, workspace):
        super().__init__()
        self.workspace = workspace

    def __contains__(self, name) -> bool:
        return isinstance(name, str)

    def get(self, name, default=None):
        """dict.get does not ask __missing__."""
        return self[name] if name in self else default

    def __missing__(self, name: str) -> ComputeTarget:
        if not isinstance(name, str):
            raise ComputeTargetException(f"a compute target's name is a text, not {name!r}")
        self[name] = AmlCompute(self.workspace, name)
        return self[name]


def label_of(target) -> str:
    """The name of a compute target that is given as an object or as its name."""
    return target if isinstance(target, str) else target.name
