"""Metrics: lines of JSON that a rank writes to the FIFO in MUSTER_METRICS, and what they add up to.

    {"time": "2026-11-23T12:30:19.412Z", "name": "loss", "type": "scalar", "value": 0.31}

A line of another shape counts, too: every number in it is a scalar under its key.
"""

from __future__ import annotations

import json
import math
import os
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

# Not metrics, but what a line of someone else's shape says about them.
BESIDES = ("time", "timestamp", "step", "epoch", "rank", "iteration")


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def plain(value: Any) -> Any:
    """A value that JSON has a word for: numpy's scalars and arrays become Python's."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def write_line(path: str, kind: str, name: str, value: Any, **more) -> None:
    record = {"time": now(), "name": name, "type": kind, "value": plain(value), **more}
    line = json.dumps(record).encode() + b"\n"
    fifo = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        while line:
            line = line[os.write(fifo, line):]
    finally:
        os.close(fifo)


def read_records(run_directory: Path) -> List[Dict[str, Any]]:
    """All lines of all ranks of the last attempt, in order of time."""
    records: List[Tuple[str, int, Dict[str, Any]]] = []
    for place in sorted(run_directory.glob("ranks/*")):
        attempts = sorted(place.glob("attempt-*"), key=lambda each: int(each.name[8:]))
        if attempts:
            for record in _lines_of(attempts[-1] / "metrics.jsonl"):
                records.append((str(record.get("time", "")), len(records), record))
    return [record for _, _, record in sorted(records, key=lambda each: each[:2])]


def metrics_of(records: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Name -> value; several values of one name are a list, rows and tables a map of columns."""
    series: Dict[str, List[Any]] = {}
    tables: Dict[str, Dict[str, List[Any]]] = {}
    for record in records:
        kind = record.get("type")
        if kind == "tag":
            continue
        if kind in ("row", "table"):
            columns = tables.setdefault(record["name"], {})
            for column, value in record["value"].items():
                columns.setdefault(column, []).extend(
                    value if kind == "table" and isinstance(value, list) else [value])
        elif kind == "list":
            series.setdefault(record["name"], []).extend(map(_number, record["value"]))
        elif isinstance(record.get("name"), str) and "value" in record:
            series.setdefault(record["name"], []).append(_number(record["value"]))
        else:
            for name, value in record.items():
                if name not in BESIDES and isinstance(value, (int, float)):
                    series.setdefault(name, []).append(value)
    metrics: Dict[str, Any] = {name: values[0] if len(values) == 1 else values
                               for name, values in series.items()}
    for name, columns in tables.items():
        metrics[name] = {column: values[0] if len(values) == 1 else values
                         for column, values in columns.items()}
    return metrics


def tags_of(records: List[Dict[str, Any]]) -> Dict[str, str]:
    return {record["name"]: record["value"] for record in records if record.get("type") == "tag"}


def _number(value: Any) -> Any:
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value


def _lines_of(path: Path) -> Iterator[Dict[str, Any]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data.split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue  # no JSON, or not written to its end
        if isinstance(record, dict):
            yield record
