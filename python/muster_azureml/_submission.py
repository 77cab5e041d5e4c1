"""What Experiment.submit starts: a run configuration, and what goes beside it."""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple, Optional


class Submission(NamedTuple):
    """Data only.  Either `document`, a v1 run configuration, or `file`, one that exists."""

    document: Optional[Dict[str, Any]]
    source_directory: Optional[str]
    file: Optional[str] = None
    settings: Dict[str, str] = {}  # Muster's own keys, beside the run configuration
    options: List[str] = []
    notes: List[str] = []  # told before the start, a line each

    def set_lines(self, defaults: Dict[str, str]) -> List[str]:
        """KEY=VALUE for MUSTER_SET, later ones win; the workspace's defaults give way."""
        settings = dict(defaults)
        settings.update(self.settings)
        if self.source_directory:
            settings["source_directory"] = os.path.abspath(self.source_directory)
        return [f"{key}={value}" for key, value in settings.items()]


def one_node_options(node_count: int, notes: List[str]) -> List[str]:
    """There is one node here: all ranks of all nodes run on it, and that is said."""
    if node_count <= 1:
        return []
    notes.append(f"node_count is {node_count}: this machine is one node, so all ranks run here")
    return ["--one-node"]
