"""Copies files into and out of a datastore: its directory, or its rclone remote."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List

from muster_azureml.exceptions import UserErrorException


def files_of(name: str, facts: Dict[str, Any]):
    if facts["type"] == "local":
        return LocalFiles(Path(facts["path"]))
    if facts["type"] == "rclone":
        return RcloneFiles(name, facts)
    raise UserErrorException(
        f'datastore "{name}" has type {facts["type"]}: Python copies to and from local and rclone '
        "datastores only; mount it, or copy with its own tools")


class LocalFiles:
    def __init__(self, root: Path):
        self.root = root

    def put(self, source: str, name: str, overwrite: bool) -> bool:
        """Whether it was copied: an existing file stays unless overwritten."""
        target = self.root / name
        if target.exists() and not overwrite:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: a run that mounts the datastore may read it meanwhile.
        partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            shutil.copyfile(source, partial)
            os.replace(partial, target)
        finally:
            if partial.exists():
                partial.unlink()
        return True

    def names(self, prefix: str) -> List[str]:
        below = self.root / prefix
        if below.is_file():
            return [prefix]
        return [each.relative_to(self.root).as_posix() for each in sorted(below.rglob("*"))
                if each.is_file()]

    def get(self, name: str, target: Path) -> None:
        shutil.copyfile(self.root / name, target)


class RcloneFiles:
    """Credentials come from the remote's own configuration and environment, never from argv."""

    def __init__(self, store: str, facts: Dict[str, Any]):
        self.store = store
        self.facts = facts
        self.remote = facts["remote"].rstrip("/")

    def put(self, source: str, name: str, overwrite: bool) -> bool:
        if not overwrite and self.names(name):
            return False
        self._run("copyto", str(source), self._at(name))
        return True

    def names(self, prefix: str) -> List[str]:
        listing = self._run("lsf", "--files-only", "--recursive", self._at(prefix), may_miss=True)
        below = [line for line in listing.splitlines() if line]
        # A file is listed under its own name.
        if below == [prefix.rsplit("/", 1)[-1]]:
            return [prefix]
        return ["/".join(filter(None, [prefix, each])) for each in sorted(below)]

    def get(self, name: str, target: Path) -> None:
        self._run("copyto", self._at(name), str(target))

    def _at(self, name: str) -> str:
        if not name:
            return self.remote
        return f"{self.remote}{name}" if self.remote.endswith(":") else f"{self.remote}/{name}"

    def _run(self, *words: str, may_miss: bool = False) -> str:
        config = ["--config", self.facts["config_file"]] if self.facts.get("config_file") else []
        try:
            done = subprocess.run(["rclone", *words, *config], env=self._environment(), check=False,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        except FileNotFoundError:
            raise UserErrorException(f'datastore "{self.store}" needs rclone, which is not on '
                                     "PATH: install it (apt-get install rclone)") from None
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
        if may_miss and done.returncode in (3, 4):  # rclone's codes for nothing there
            return ""
        words_of_it = done.stderr.decode("utf-8", "replace").strip().splitlines()[-3:]
        raise UserErrorException(f'cannot {words[0]} on datastore "{self.store}": rclone ended with '
                                 f"{done.returncode}: {' / '.join(words_of_it)}")

    def _environment(self) -> Dict[str, str]:
        variables = dict(os.environ)
        if self.facts.get("environment_file"):
            text = Path(self.facts["environment_file"]).read_text(encoding="utf-8")
            for line in text.splitlines():
                name, equals, value = line.strip().partition("=")
                if equals and not name.startswith("#"):
                    words = name.split()  # "export NAME", as shells have it
                    variables[words[-1]] = _without_quotes(value.strip())
        return variables


def _without_quotes(value: str) -> str:
    for quote in "\"'":
        if len(value) > 1 and value[0] == value[-1] == quote:
            return value[1:-1]
    return value
