"""Names of inputs and outputs: they become parts of variables and of paths."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from muster_azureml.exceptions import UserErrorException


def check_data_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise UserErrorException(
            f'"{name}" cannot name an input or output: variables are made of it; use letters, '
            "digits and underscores, and begin with a letter")
    return name


def data_name_of(*parts: str) -> str:
    """A name made of what a handle points to, so that a plan can be read."""
    words = re.findall(r"[A-Za-z0-9]+", " ".join(parts))
    name = "_".join(words) or "data"
    return name if not name[0].isdigit() else f"data_{name}"


def mark_of(*what: Any) -> str:
    """The same for the same things, another one for others: it keeps made-up names apart."""
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:8]
