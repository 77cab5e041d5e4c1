"""A workspace: a directory with runs in it, and a datastores.yaml."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

from muster_azureml._muster import Muster
from muster_azureml._tell import tell
from muster_azureml.core.compute import Labels
from muster_azureml.exceptions import UserErrorException

CONFIG_PLACES = ("config.json", ".azureml/config.json", "aml_config/config.json")
DEFAULT_DATASTORE = "workspaceblobstore"

# Written when a script asks for the default datastore and none is named anywhere.
FIRST_DATASTORES = f"""\
# Where datastore://NAME/… is.  More kinds of places: docs/data.md
default: {DEFAULT_DATASTORE}
datastores:
  {DEFAULT_DATASTORE}:
    type: local
    path: datastores/{DEFAULT_DATASTORE}
"""


class Workspace:
    """Names of subscription and resource group are kept as labels; nobody is asked about them."""

    def __init__(self, subscription_id: Optional[str] = None, resource_group: Optional[str] = None,
                 workspace_name: Optional[str] = None, root: Optional[Path] = None,
                 defaults: Optional[Dict[str, Any]] = None, **_):
        self.root = Path(root or Path.cwd()).absolute()
        self.name = workspace_name or self.root.name or "workspace"
        self.subscription_id = subscription_id
        self.resource_group = resource_group
        self.location = "local"
        # Keys of Muster's own run config that every run of this workspace starts from.
        self.defaults: Dict[str, str] = {key: str(value)
                                         for key, value in (defaults or {}).items()}
        self.compute_targets = Labels(self)

    @staticmethod
    def from_config(path: Optional[str] = None, **_) -> "Workspace":
        """The directory of config.json, here or above; without one, the working directory."""
        begin = Path(path or os.getcwd()).absolute()
        if path is not None and not begin.exists():
            raise UserErrorException(f"Workspace.from_config: there is no {begin}: name a "
                                     "config.json, or a directory that has one or is below one")
        if begin.is_file():
            return _from_file(begin)
        for directory in (begin, *begin.parents):
            for place in CONFIG_PLACES:
                if (directory / place).is_file():
                    return _from_file(directory / place)
        return Workspace(root=begin)

    @staticmethod
    def at(root: Path) -> "Workspace":
        """What from_config finds there, and not above."""
        for place in CONFIG_PLACES:
            if (root / place).is_file():
                return _from_file(root / place)
        return Workspace(root=root)

    @staticmethod
    def get(name: str, subscription_id: Optional[str] = None, resource_group: Optional[str] = None,
            **_) -> "Workspace":
        found = Workspace.from_config()
        return Workspace(subscription_id, resource_group, name, found.root, found.defaults)

    @staticmethod
    def create(name: str, **_) -> "Workspace":
        return Workspace.get(name)

    @property
    def runs_dir(self) -> Path:
        return Path(os.environ.get("MUSTER_RUNS_DIR") or self.root / "runs").absolute()

    @property
    def experiments(self) -> Dict[str, Any]:
        """Those that have runs."""
        from muster_azureml.core.experiment import Experiment
        from muster_azureml.core.run import Run

        found: Dict[str, Any] = {}
        for each in Muster(self.runs_dir).runs():
            name = Run(Experiment(self, "default"), each["run_id"]).record().get("experiment")
            if name:
                found.setdefault(name, Experiment(self, name))
        return found

    def get_run(self, run_id: str):
        from muster_azureml.core.run import Run

        return Run.get(self, run_id)

    @property
    def datastores(self) -> Dict[str, Any]:
        from muster_azureml.core.datastore import Datastore

        return {name: Datastore(self, name) for name in self.datastore_facts()}

    def get_default_datastore(self):
        from muster_azureml.core.datastore import Datastore

        return Datastore(self)

    def set_default_datastore(self, name: str) -> None:
        raise UserErrorException(f"write default: {name} in {self.datastores_file()}")

    def default_datastore_name(self) -> str:
        names = list(self.datastore_facts())
        default = self._datastores().get("default")
        if default:
            return default
        if len(names) == 1 or DEFAULT_DATASTORE in names:
            return DEFAULT_DATASTORE if DEFAULT_DATASTORE in names else names[0]
        raise UserErrorException(
            f"which of {', '.join(names)} is the default datastore? Write default: NAME in "
            f"{self.datastores_file()}")

    def datastore_facts(self) -> Dict[str, Dict[str, Any]]:
        """Name -> what datastores.yaml says; the first file is written when there is none."""
        found = self._datastores()
        if not found["datastores"] and found["file"] is None:
            place = self.root / "datastores.yaml"
            place.write_text(FIRST_DATASTORES, encoding="utf-8")
            (self.root / "datastores" / DEFAULT_DATASTORE).mkdir(parents=True, exist_ok=True)
            tell(f"no datastores.yaml: wrote {place}, whose default datastore is the directory "
                 f"{self.root / 'datastores' / DEFAULT_DATASTORE}")
            found = self._datastores()
        return {each["name"]: each for each in found["datastores"]}

    def datastores_file(self) -> Optional[str]:
        return self._datastores()["file"]

    def variables(self) -> Dict[str, str]:
        """For `muster`: this directory's datastores.yaml counts, unless the caller named one."""
        if os.environ.get("MUSTER_DATASTORES"):
            return {}
        files = [each / "datastores.yaml" for each in (self.root, Path.cwd())]
        return {"MUSTER_DATASTORES": str(file) for file in files[::-1] if file.is_file()}

    def write_config(self, path: Optional[str] = None, file_name: Optional[str] = None) -> None:
        target = Path(path or self.root / ".azureml") / (file_name or "config.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        config: Dict[str, Any] = {"subscription_id": self.subscription_id,
                                  "resource_group": self.resource_group,
                                  "workspace_name": self.name}
        if self.defaults:
            config["muster"] = self.defaults
        target.write_text(json.dumps(config, indent=4) + "\n", encoding="utf-8")

    def get_details(self) -> Dict[str, Any]:
        return {"name": self.name, "location": self.location, "root": str(self.root),
                "runsDirectory": str(self.runs_dir)}

    def __repr__(self) -> str:
        return f"Workspace(name='{self.name}', root='{self.root}')"

    def _datastores(self) -> Dict[str, Any]:
        return Muster(self.runs_dir).datastores(self.variables())


def _from_file(file: Path) -> Workspace:
    try:
        config = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UserErrorException(f"cannot read {file}: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("muster") or {}, dict):
        raise UserErrorException(f"cannot read {file}: it is no JSON object with the workspace's "
                                 'name, and "muster", if it is there, an object of settings')
    folder = file.parent
    root = folder.parent if folder.name in (".azureml", "aml_config") else folder
    return Workspace(config.get("subscription_id"), config.get("resource_group"),
                     config.get("workspace_name"), root, config.get("muster"))
