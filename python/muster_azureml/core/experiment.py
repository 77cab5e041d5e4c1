"""An experiment: a name that runs have in common."""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from muster_azureml._credentials import without_credentials
from muster_azureml._muster import Muster
from muster_azureml._submission import Submission
from muster_azureml._tell import tell
from muster_azureml.core import _metrics
from muster_azureml.core._context import EXPERIMENT_VARIABLE, WORKSPACE_VARIABLE
from muster_azureml.core.run import Run, user_name
from muster_azureml.core.runconfig import LoadedRunConfiguration
from muster_azureml.core.script_run_config import ScriptRunConfig
from muster_azureml.core.workspace import Workspace
from muster_azureml.exceptions import UserErrorException


class Experiment:
    """Nothing is made: a run's record holds the experiment's name."""

    def __init__(self, workspace: Workspace, name: str, **_):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{2,99}", name) and name != "default":
            raise UserErrorException(
                f'"{name}" cannot name an experiment: 3 to 100 letters, digits, "_" and "-", '
                "beginning with a letter or a digit")
        self.workspace = workspace
        self.name = name
        self.id = name

    def submit(self, config, tags: Optional[Dict[str, Any]] = None, **overrides) -> Run:
        """Starts it, and is back when its ranks run; meanwhile Muster says what it does.

        `config`: an estimator, a ScriptRunConfig, or a loaded run configuration.
        """
        run_id = new_run_id(self.name)
        if isinstance(config, LoadedRunConfiguration):
            # Where its paths and its script are counted from is for Muster to say.
            submission = Submission(None, None, file=str(config.path))
        elif isinstance(config, ScriptRunConfig):
            if overrides:
                raise UserErrorException(f"{', '.join(overrides)}: not for a ScriptRunConfig")
            submission = config.submission(run_id)
        elif hasattr(config, "submission"):
            submission = config.submission(run_id, **overrides)
        else:
            raise UserErrorException(f"cannot submit {config!r}: it is no Estimator, no "
                                     "ScriptRunConfig and no loaded run configuration")
        return self._start(submission, run_id, tags or {})

    def get_runs(self, type: Optional[str] = None, tags: Any = None,
                 properties: Any = None, include_children: bool = False) -> Iterator[Run]:
        """This experiment's runs, newest first; with `tags`, those that have them."""
        wanted = {tags: None} if isinstance(tags, str) else dict(tags or {})
        for each in Muster(self.workspace.runs_dir).runs():
            run = Run(self, each["run_id"])
            if run.record().get("experiment") != self.name:
                continue
            has = run.get_tags()
            if all(key in has and value in (None, has[key]) for key, value in wanted.items()):
                yield run

    def start_logging(self, *_, **__):
        raise UserErrorException(
            "start_logging: a run without a start of its own is not kept; write a script that uses "
            "Run.get_context(), and submit it")

    @staticmethod
    def list(workspace: Workspace) -> List["Experiment"]:
        return list(workspace.experiments.values())

    def __repr__(self) -> str:
        return f"Experiment(Name: {self.name}, Workspace: {self.workspace.name})"

    def _start(self, submission: Submission, run_id: str, tags: Dict[str, Any]) -> Run:
        for note in submission.notes:
            tell(note)
        variables = self.workspace.variables()
        lines = submission.set_lines(self.workspace.defaults)
        lines += self._variables_of_ranks(submission)
        # What the caller's MUSTER_SET says counts last, and wins.
        lines += filter(None, [os.environ.get("MUSTER_SET")])
        variables["MUSTER_SET"] = "\n".join(lines)
        muster = Muster(self.workspace.runs_dir)
        record = {"experiment": self.name, "workspace": self.workspace.name,
                  "submitted_at": _metrics.now(), "submitted_by": user_name(),
                  "tags": {key: str(value) for key, value in tags.items()}, "properties": {},
                  "definition": without_credentials(submission.document)}
        with tempfile.TemporaryDirectory(prefix="muster-azureml-") as scratch:
            file = submission.file
            if file is None:
                file = os.path.join(scratch, f"{run_id}.runconfig")
                Path(file).write_text(json.dumps(submission.document, indent=2) + "\n",
                                      encoding="utf-8")
            # Written early: a run that is interrupted while its packages are made is known, too.
            answer = muster.start(run_id, [file, *submission.options], variables,
                                  lambda: Run(self, run_id).write_record(record))
        if not (self.workspace.runs_dir / run_id).is_dir():
            raise UserErrorException(f"muster did not start the run (exit code {answer.code}):\n"
                                     f"{answer.stderr.strip()}")
        return Run(self, run_id)

    def _variables_of_ranks(self, submission: Submission) -> List[str]:
        """So that a training script finds this package, and run.experiment its name."""
        given = {}
        if submission.document is not None:
            given = dict(submission.document["environment"].get("environmentVariables", {}),
                         **submission.document.get("environmentVariables", {}))
        path = [package_path(), given.get("PYTHONPATH", os.environ.get("PYTHONPATH"))]
        variables = {"PYTHONPATH": os.pathsep.join(filter(None, path)),
                     EXPERIMENT_VARIABLE: self.name, WORKSPACE_VARIABLE: str(self.workspace.root)}
        return [f"environment.variables.{name}={value}" for name, value in variables.items()]


def new_run_id(experiment: str) -> str:
    return f"{experiment}_{int(time.time())}_{secrets.token_hex(4)}"


def package_path() -> str:
    """A directory that holds this package and nothing else that a script could import by it.

    The script may run in a Python of its own, into which site-packages of this one must not leak.
    """
    package = Path(__file__).resolve().parents[1]
    if not any(each.suffix in (".dist-info", ".pth") for each in package.parent.iterdir()):
        return str(package.parent)
    cache = Path(os.environ.get("MUSTER_CACHE_DIR")
                 or os.path.join(os.environ.get("XDG_CACHE_HOME")
                                 or os.path.expanduser("~/.cache"), "muster"))
    place = cache / "python-package" / re.sub(r"\W", "_", str(package))
    place.mkdir(parents=True, exist_ok=True)
    link = place / package.name
    if not link.is_symlink():
        try:
            link.symlink_to(package)
        except FileExistsError:
            pass  # another submit was faster
    return str(place)
