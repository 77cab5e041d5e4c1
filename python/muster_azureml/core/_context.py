"""Run.get_context(): the run as its own training script sees it, or none at all."""

from __future__ import annotations

import os
import re
import shutil
import sys
import uuid
from pathlib import Path
from typing import Any, Dict, List, Optional

from muster_azureml.core._metrics import plain, write_line
from muster_azureml.exceptions import RunEnvironmentException, UserErrorException

# Set by Experiment.submit, for run.experiment.
EXPERIMENT_VARIABLE = "AZUREML_EXPERIMENT_NAME"
WORKSPACE_VARIABLE = "AZUREML_LOCAL_WORKSPACE"


class ScriptSide:
    """What both kinds have: values go to _record, files to ./outputs and ./logs."""

    id: str
    status = "Running"

    def __init__(self):
        self.working_directory = Path.cwd()

    def log(self, name: str, value: Any, description: str = "", step: Optional[int] = None) -> None:
        self._record("scalar", name, value, **({} if step is None else {"step": step}))

    def log_list(self, name: str, value: List[Any], description: str = "") -> None:
        self._record("list", name, list(value))

    def log_row(self, name: str, description: Optional[str] = None, **columns) -> None:
        self._record("row", name, columns)

    def log_table(self, name: str, value: Dict[str, Any], description: str = "") -> None:
        self._record("table", name, value)

    def log_image(self, name: str, path: Optional[str] = None, plot: Any = None,
                  description: str = "") -> None:
        """Keeps the file, or the matplotlib plot, below ./outputs, and its path as the metric."""
        if (path is None) == (plot is None):
            raise UserErrorException("log_image: give path or plot")
        target = self.working_directory / "outputs" / (
            re.sub(r"[^\w.-]", "_", name) + (Path(path).suffix if path else ".png"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target = _unused(target)
        if path is not None:
            shutil.copyfile(path, target)
        else:
            plot.savefig(str(target))
        self._record("image", name, f"outputs/{target.name}")

    def tag(self, key: str, value: Any = None) -> None:
        self._record("tag", key, str(value))

    def set_tags(self, tags: Dict[str, Any]) -> None:
        for key, value in tags.items():
            self.tag(key, value)

    def upload_file(self, name: str, path_or_stream: Any, datastore_name: Optional[str] = None) -> None:
        """Copies a file to ./NAME, or to ./outputs/NAME when it is not below outputs or logs."""
        target = self._place(name)
        if target.exists():
            raise UserErrorException(f"cannot upload {name}: {target} is there already")
        target.parent.mkdir(parents=True, exist_ok=True)
        if hasattr(path_or_stream, "read"):
            data = path_or_stream.read()
            target.write_bytes(data.encode() if isinstance(data, str) else data)
        else:
            shutil.copyfile(path_or_stream, target)

    def upload_folder(self, name: str, path: str, datastore_name: Optional[str] = None) -> None:
        for file in sorted(Path(path).rglob("*")):
            if file.is_file():
                self.upload_file(f"{name}/{file.relative_to(path).as_posix()}", str(file))

    def get_status(self) -> str:
        return self.status

    def flush(self, timeout_seconds: int = 300) -> None:
        """Nothing is held back."""

    def complete(self, _set_status: bool = True) -> None:
        """The run is complete when its ranks have ended."""

    def fail(self, error_details: Any = None, error_code: Any = None) -> None:
        """Ends this rank with 1, which fails the run."""
        sys.exit(f"run.fail: {error_details}" if error_details else 1)

    def _place(self, name: str) -> Path:
        parts = Path(name).parts
        if Path(name).is_absolute() or ".." in parts or not parts:
            raise UserErrorException(f'"{name}" is no name of a file of a run')
        below = Path() if parts[0] in ("outputs", "logs") else Path("outputs")
        return self.working_directory / below / name

    def _record(self, kind: str, name: str, value: Any, **more) -> None:
        raise NotImplementedError


class RankRun(ScriptSide):
    """Inside a rank: values end in the rank's metrics.jsonl, which Run.get_metrics reads."""

    def __init__(self, metrics: str, environment: Dict[str, str]):
        super().__init__()
        self.metrics_path = metrics
        self.environment = environment
        self.id = environment.get("AZUREML_RUN_ID") or environment["MUSTER_RUN_ID"]

    @property
    def input_datasets(self) -> Dict[str, str]:
        """Name -> path of every input and output of the run."""
        found = {}
        for prefix in ("AZUREML_DATAREFERENCE_", "AZURE_ML_OUTPUT_", "AZURE_ML_INPUT_"):
            for variable, value in self.environment.items():
                if variable.startswith(prefix):
                    found[variable[len(prefix):]] = value
        return found

    @property
    def experiment(self):
        from muster_azureml.core.experiment import Experiment
        from muster_azureml.core.workspace import Workspace

        root = self.environment.get(WORKSPACE_VARIABLE)
        return Experiment(Workspace.at(Path(root) if root else self.working_directory),
                          self.environment.get(EXPERIMENT_VARIABLE, "default"))

    def _record(self, kind: str, name: str, value: Any, **more) -> None:
        write_line(self.metrics_path, kind, name, value, **more)


class _OfflineRun(ScriptSide):
    """Outside of any run: values are printed."""

    def __init__(self):
        super().__init__()
        self.id = f"OfflineRun_{uuid.uuid4()}"
        self.input_datasets: Dict[str, str] = {}
        self.experiment = None

    def _record(self, kind: str, name: str, value: Any, **more) -> None:
        print(f"{kind} {name}: {plain(value)}")


def _unused(path: Path) -> Path:
    """The path, or NAME_2, NAME_3 …: every image that is logged is kept."""
    count = 1
    place = path
    while True:
        try:
            place.open("xb").close()  # ours, though other ranks log images of the same name
            return place
        except FileExistsError:
            count += 1
            place = path.with_name(f"{path.stem}_{count}{path.suffix}")


def context(allow_offline: bool = True):
    metrics = os.environ.get("MUSTER_METRICS")
    if metrics and os.environ.get("MUSTER_RUN_ID"):
        return RankRun(metrics, dict(os.environ))
    if not allow_offline:
        raise RunEnvironmentException("Run.get_context: this process is no rank of a run")
    return _OfflineRun()
