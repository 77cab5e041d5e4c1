"""The files of a run, by the names that the SDK gives them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import List, Optional

from muster_azureml.exceptions import UserErrorException

# Folders of the run directory that hold what a user's script or its ranks wrote.
FOLDERS = ("outputs", "logs", "azureml-logs", "user_logs")


def file_names(run_directory: Path) -> List[str]:
    names = []
    for folder in FOLDERS:
        for path in sorted((run_directory / folder).rglob("*")):
            if path.is_file():
                names.append(path.relative_to(run_directory).as_posix())
    return names


def log_names(names: List[str]) -> List[str]:
    return [name for name in names if not name.startswith("outputs/")]


def download(run_directory: Path, name: str, output_file_path: Optional[str]) -> Path:
    names = file_names(run_directory)
    if name not in names:
        some = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
        raise UserErrorException(f"the run has no file {name}; it has: {some or 'none'}")
    target = Path(output_file_path or os.path.basename(name))
    if target.is_dir() or (output_file_path or "").endswith(os.sep):
        target = target / os.path.basename(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run_directory / name, target)
    return target
