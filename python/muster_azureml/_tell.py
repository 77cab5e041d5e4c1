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


class Told:
    """Fields that __init__ does not set, or that UNUSED names, are told when someone sets them.

    `rc.node_cuont = 2` is Python that works, and would change nothing.
    """

    UNUSED: Dict[str, str] = {}
    _complete = False

    def _fields_are_complete(self) -> None:
        self.__dict__["_complete"] = True

    def __setattr__(self, name: str, value: object) -> None:
        if self._complete and (name in self.UNUSED or name not in self.__dict__):
            tell_unused(type(self).__name__, {name: value}, self.UNUSED,
                        [each for each in self.__dict__ if not each.startswith("_")])
        super().__setattr__(name, value)


class Unused:
    """A part of the SDK's objects that means nothing here: what is set in it is told."""

    def __init__(self, where: str, reason: str):
        self.__dict__.update(_where=where, _reason=reason)

    def __setattr__(self, name: str, value: object) -> None:
        tell_unused(self._where, {name: value}, {name: self._reason})
        self.__dict__[name] = value
