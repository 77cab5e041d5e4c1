"""One line on stderr for what a user would otherwise wonder about."""

from __future__ import annotations

import difflib
import sys
from typing import Dict, Iterable


def tell(line: str) -> None:
    print(f"muster_azureml: {line}", file=sys.stderr, flush=True)


def tell_unused(where: str, given: Dict[str, object], reasons: Dict[str, str],
                known: Iterable[str] = ()) -> None:
    """One line with every argument that was given and means nothing here, and why.

    `given` may hold names that nobody knows; for those `known` helps to guess what was meant.
    """
    words = []
    for name, value in given.items():
        if value is None or value is False:
            continue
        if name in reasons:
            words.append(f"{name} ({reasons[name]})")
            continue
        close = difflib.get_close_matches(name, list(known), n=1)
        words.append(f"{name} (unknown{f', did you mean {close[0]}?' if close else ''})")
    if words:
        tell(f"{where}: not used here: {', '.join(words)}")
