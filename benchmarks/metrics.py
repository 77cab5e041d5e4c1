"""Metrics: points a second from stored lines into metrics.db, with one process."""

import json
import subprocess
import time

from measure import Row, Sample

RANKS = 8
LINES = 50_000  # of each rank and kind
BUDGET = 200_000.0
KINDS = {"lines of words": lambda step: f"loss {1 / (step + 1):.6f} {step}\n",
         "JSON lines": lambda step: json.dumps({"step": step, "loss": round(1 / (step + 1), 6)}) + "\n"}


def measure(bench):
    rows = []
    for kind, line in KINDS.items():
        text = "".join(map(line, range(LINES)))
        rates = [one_round(bench, text, number) for number in range(bench.rounds_or(3))]
        row = Row(f"metrics ingest, {kind}", "", "points/s", None, Sample(rates))
        row.budget = f">= {BUDGET:.0f}"
        row.met = row.ours.median >= BUDGET
        row.notes.append(f"{RANKS} ranks, {RANKS * LINES} points, with the start of `muster metrics` "
                         "and its answer")
        rows.append(row)
    return rows


def one_round(bench, text, number):
    directory = bench.runs_dir / f"metrics-{len(text)}-{number}"
    for rank in range(RANKS):
        place = directory / f"ranks/{rank:05}/attempt-0"
        place.mkdir(parents=True)
        (place / "metrics.jsonl").write_text(text, encoding="utf-8")
    (directory / "run.json").write_text(
        json.dumps({"run_id": directory.name, "status": "succeeded", "world_size": RANKS,
                    "ended_at": "2026-01-01T00:00:00Z"}), encoding="utf-8")
    begin = time.monotonic()
    answer = subprocess.run([bench.muster, "metrics", "--json", directory], check=True, timeout=300,
                            env=bench.environment(), stdout=subprocess.PIPE)
    seconds = time.monotonic() - begin
    count = json.loads(answer.stdout)["metrics"][0]["count"]
    if count != RANKS * LINES:
        raise RuntimeError(f"{count} points were ingested, not {RANKS * LINES}")
    return RANKS * LINES / seconds
