"""A run, from outside: what Experiment.submit gives."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from muster_azureml._muster import Muster
from muster_azureml.core import _metrics, _run_files
from muster_azureml.core._context import RankRun, _OfflineRun, context
from muster_azureml.exceptions import ActivityFailedException, UserErrorException

__all__ = ["RankRun", "Run", "_OfflineRun"]

# What `muster status` says -> the SDK's word.
STATES = {"succeeded": "Completed", "failed": "Failed", "cancelled": "Canceled",
          "stopping": "CancelRequested", "lost": "NotResponding", "unknown": "NotResponding",
          "unreadable": "NotResponding"}
PHASES = {"starting": "Preparing", "preparing": "Preparing", "running": "Running",
          "stopping": "CancelRequested", "draining": "Finalizing"}
ENDED = ("Completed", "Failed", "Canceled", "NotResponding")

# Beside what Muster keeps of a run: what only the SDK has words for.
RECORD = "azureml.json"


class Run:
    """One run, by its id; every question is answered by `muster` and the run directory."""

    def __init__(self, experiment, run_id: str, **_):
        self.experiment = experiment
        self.id = run_id
        self._runs_dir: Path = experiment.workspace.runs_dir
        self._muster = Muster(self._runs_dir)
        if not self.directory.is_dir():
            raise UserErrorException(f"there is no run {run_id} in {self._runs_dir}")

    @staticmethod
    def get_context(allow_offline: bool = True):
        """Inside a training script: the run around it."""
        return context(allow_offline)

    @staticmethod
    def get(workspace, run_id: str) -> "Run":
        from muster_azureml.core.experiment import Experiment

        run = Run(Experiment(workspace, "default"), run_id)
        run.experiment = Experiment(workspace, run.record().get("experiment", "default"))
        return run

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self._runs_dir / self.id

    @property
    def name(self) -> str:
        return self.id

    display_name = name
    number = None
    type = "experiment"

    @property
    def status(self) -> str:
        return self.get_status()

    @property
    def tags(self) -> Dict[str, str]:
        return self.get_tags()

    @property
    def properties(self) -> Dict[str, str]:
        return self.get_properties()

    def get_status(self) -> str:
        said = self._muster.status(self.id)
        if said["status"] == "running":
            return PHASES.get(said.get("phase") or "starting", "Running")
        return STATES.get(said["status"], "NotResponding")

    def get_details(self) -> Dict[str, Any]:
        """The keys of the service's run record, as far as they mean something here."""
        status = self.get_status()
        facts = self._run_json()
        record = self.record()
        definition = record.get("definition") or {}
        references = definition.get("dataReferences", {})
        uploaded = [name for name, entry in references.items()
                    if str(entry.get("mode")).lower() == "upload"]
        details: Dict[str, Any] = {
            "runId": self.id,
            "target": definition.get("target", "local"),
            "status": status,
            "createdTimeUtc": facts.get("created_at"),
            "startTimeUtc": facts.get("started_at"),
            "parentRunId": None,
            "rootRunId": self.id,
            "error": self._error(status, facts),
            "warnings": [{"source": "muster", "message": text}
                         for text in map(_text_of, facts.get("warnings") or [])],
            "tags": self.get_tags(),
            "properties": self.get_properties(),
            "inputDatasets": sorted([*(name for name in references if name not in uploaded),
                                     *definition.get("data", {})]),
            "outputDatasets": sorted([*uploaded, *definition.get("outputData", {})]),
            "runDefinition": definition or None,
            "logFiles": {name: (self.directory / name).absolute().as_uri()
                         for name in _run_files.log_names(self.get_file_names())},
            "submittedBy": record.get("submitted_by"),
            "computeRequest": {"nodeCount": (facts.get("plan") or {}).get("node_count")},
        }
        if facts.get("ended_at"):
            details["endTimeUtc"] = facts["ended_at"]
            details["duration"] = _seconds_between(facts.get("started_at"), facts["ended_at"])
        return details

    def get_details_with_logs(self) -> Dict[str, Any]:
        """The same, with the logs' text in place of their addresses."""
        details = self.get_details()
        details["logFiles"] = {
            name: (self.directory / name).read_bytes().decode("utf-8", "replace")
            for name in details["logFiles"]}
        return details

    def wait_for_completion(self, show_output: bool = False, wait_post_processing: bool = False,
                            raise_on_error: bool = True) -> Dict[str, Any]:
        """Waits for the end; a failure is raised with the report that Muster wrote.

        With show_output, what rank 0 writes is shown as it comes.  Ctrl-C leaves the run alone.
        """
        if show_output:
            title = f"Streaming {self._first_log()}"
            print(f"RunId: {self.id}\nRun directory: {self.directory}\n\n{title}\n"
                  f"{'=' * len(title)}\n", flush=True)
            self._muster.follow(self.id, 0)
        status = self._wait()
        if show_output:
            print(f"\nExecution Summary\n=================\nRunId: {self.id}\n"
                  f"Run directory: {self.directory}\n{self._report()}", flush=True)
        if raise_on_error and status != "Completed":
            raise ActivityFailedException(f"run {self.id}: {status}\n{self._report()}".rstrip())
        return self.get_details()

    def get_metrics(self, name: Optional[str] = None, recursive: bool = False,
                    run_type: Optional[str] = None, populate: bool = False) -> Dict[str, Any]:
        """What the ranks logged so far: a value, a list of values, or columns."""
        found = _metrics.metrics_of(_metrics.read_records(self.directory))
        return found if name is None else {key: value for key, value in found.items()
                                           if key == name}

    def get_file_names(self) -> List[str]:
        return _run_files.file_names(self.directory)

    def get_all_logs(self, destination: Optional[str] = None) -> List[str]:
        """Copies every log into a directory; their paths there."""
        target = Path(destination or self.id)
        return [str(_run_files.download(self.directory, name, str(target / name)))
                for name in _run_files.log_names(self.get_file_names())]

    def download_file(self, name: str, output_file_path: Optional[str] = None, **_) -> None:
        """To a file, into a directory, or under its own name into the working directory."""
        _run_files.download(self.directory, name, output_file_path)

    def download_files(self, prefix: Optional[str] = None, output_directory: Optional[str] = None,
                       output_paths: Optional[List[str]] = None, batch_size: int = 100,
                       append_prefix: bool = True, **_) -> None:
        names = [name for name in self.get_file_names() if name.startswith(prefix or "")]
        if output_paths is not None and len(output_paths) != len(names):
            raise UserErrorException(f"{len(output_paths)} output_paths for {len(names)} files")
        for index, name in enumerate(names):
            short = name if append_prefix else name[len(prefix or ""):].lstrip("/")
            path = output_paths[index] if output_paths is not None else short
            _run_files.download(self.directory, name, os.path.join(output_directory or ".", path))

    def upload_file(self, name: str, path_or_stream: str, **_) -> None:
        """Adds a file to outputs or logs of the run."""
        parts = Path(name).parts
        if not parts or parts[0] not in ("outputs", "logs") or ".." in parts:
            raise UserErrorException(f'"{name}": files are added below outputs/ or logs/')
        target = self.directory / name
        if target.exists():
            raise UserErrorException(f"the run has a file {name} already")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(path_or_stream).read_bytes())

    def cancel(self) -> None:
        """Asks for the end; wait_for_completion waits for it."""
        self._muster.cancel(self.id)

    def get_tags(self) -> Dict[str, str]:
        """Those given here, and those that the script set."""
        tags = dict(self.record().get("tags", {}))
        tags.update(_metrics.tags_of(_metrics.read_records(self.directory)))
        return tags

    def tag(self, key: str, value: Any = None) -> None:
        self._change_record("tags", {key: str(value)})

    def set_tags(self, tags: Dict[str, Any]) -> None:
        self._change_record("tags", {key: str(value) for key, value in tags.items()})

    def get_properties(self) -> Dict[str, str]:
        """What describes the run and cannot change: also the source's git commit, where known."""
        properties = dict(self.record().get("properties", {}))
        source = self._run_json().get("source") or {}
        git = source.get("git") or {}
        for key, value in (("ContentSnapshotId", source.get("hash")),
                           ("azureml.git.repository_uri", git.get("remote")),
                           ("azureml.git.branch", git.get("branch")),
                           ("azureml.git.commit", git.get("commit")),
                           ("azureml.git.dirty", git.get("dirty"))):
            if value is not None:
                properties.setdefault(key, str(value))
        return properties

    def add_properties(self, properties: Dict[str, Any]) -> None:
        known = self.record().get("properties", {})
        for key in properties:
            if key in known:
                raise UserErrorException(f"the property {key} is set already, and stays as it is")
        self._change_record("properties", {key: str(value) for key, value in properties.items()})

    def get_portal_url(self) -> str:
        return self.directory.absolute().as_uri()

    def register_model(self, model_name: str, model_path: Optional[str] = None, **_):
        raise UserErrorException(
            f"register_model: there is no model registry here; {model_name} is the file "
            f"{self.directory / (model_path or f'outputs/{model_name}')}")

    def record(self) -> Dict[str, Any]:
        """What Experiment.submit noted; empty for a run that `muster run` started."""
        try:
            return json.loads((self.directory / RECORD).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def write_record(self, record: Dict[str, Any]) -> None:
        target = self.directory / RECORD
        # The user's own (0600): the definition holds variables and arguments.
        descriptor, partial = tempfile.mkstemp(prefix=f".{RECORD}.", dir=str(self.directory))
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(record, indent=2) + "\n")
        os.replace(partial, target)

    def __repr__(self) -> str:
        return f"Run(Experiment: {self.experiment.name}, Id: {self.id}, Status: {self.get_status()})"

    def _change_record(self, kind: str, changes: Dict[str, str]) -> None:
        with _changing(self.directory):
            record = self.record()
            record.setdefault(kind, {}).update(changes)
            self.write_record(record)

    def _run_json(self) -> Dict[str, Any]:
        try:
            return json.loads((self.directory / "run.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

    def _report(self) -> str:
        try:
            return (self.directory / "report.txt").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def _wait(self) -> str:
        """The final status; asks seldom, for the end of a run is in a file."""
        pause = 0.05
        while True:
            status = self.get_status()
            if status in ENDED:
                self._wait_for_launcher()
                return status
            until = time.monotonic() + pause
            while time.monotonic() < until:
                time.sleep(0.05)
                if self._run_json().get("ended_at"):
                    break
            pause = min(2 * pause, 5.0)

    def _wait_for_launcher(self) -> None:
        """The end is on record before the report and the logs for other tools are complete."""
        facts = self._run_json()
        pid = facts.get("launcher_pid")
        born = str((facts.get("launcher") or {}).get("start_time"))
        give_up = time.monotonic() + 30
        while pid and time.monotonic() < give_up and _is_running(pid, born):
            time.sleep(0.02)

    def _first_log(self) -> str:
        for pattern in ("user_logs/std_log*.txt", "azureml-logs/70_driver_log*.txt"):
            for path in sorted(self.directory.glob(pattern)):
                return path.relative_to(self.directory).as_posix()
        return "rank 0"

    def _error(self, status: str, facts: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        if status not in ("Failed", "NotResponding"):
            return None
        code = "UserError" if facts.get("origin") == "training" else "ServiceError"
        message = self._report()
        if status == "NotResponding" and not message:
            message = (f"the launcher of run {self.id} is gone without having written the run's "
                       "end: it was killed, or is on another machine; what the ranks wrote until "
                       f"then is in {self.directory / 'ranks'}")
        return {"error": {"code": code, "message": message, "details": []},
                "location": "local", "time": facts.get("ended_at")}


@contextlib.contextmanager
def _changing(directory: Path) -> Iterator[None]:
    """One change of a run's record at a time, of all threads and processes."""
    descriptor = os.open(str(directory / f".{RECORD}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def user_name() -> Optional[str]:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _is_running(pid: int, born: str) -> bool:
    """Whether that very process lives; one on another machine does not, as far as is known here."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    fields = stat[stat.rindex(")") + 2:].split()
    return fields[19] == born and fields[0] not in "ZX"


def _text_of(warning: Any) -> str:
    return warning if isinstance(warning, str) else str(warning.get("text", warning))


def _seconds_between(begin: Optional[str], end: str) -> Optional[float]:
    if not begin:
        return None
    times = [datetime.fromisoformat(each.replace("Z", "+00:00")) for each in (begin, end)]
    return (times[1] - times[0]).total_seconds()
