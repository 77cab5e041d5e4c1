"""Output folders: what a working directory has into the run directory, against rsync -a and cp -r."""

import os
import shutil
import subprocess
import time

from measure import Row, Sample, Waived

LARGE = 2 << 30
SMALL_FILES = 10_000
ROUNDS = 3

LARGE_WRITER = """
import os
block = os.urandom(1 << 20)
with open('outputs/large.bin', 'wb') as large:
    for i in range({count}):
        large.write(block)
"""

SMALL_WRITER = """
import os
for i in range({count}):
    folder = f'outputs/d{{i % 100}}'
    os.makedirs(folder, exist_ok=True)
    with open(f'{{folder}}/{{i}}', 'wb') as small:
        small.write(os.urandom(1000))
"""


def measure(bench):
    if shutil.disk_usage(bench.scratch).free < 4 * LARGE:
        raise Waived("less than 8 GB of room")
    rows = []
    for name, writer, count in (("one file of 2 GB", LARGE_WRITER, LARGE >> 20),
                                ("10,000 small files", SMALL_WRITER, SMALL_FILES)):
        try:
            rows += one_kind(bench, name, writer.format(count=count))
        except Waived as waived:
            rows.append(Row(f"outputs, {name}", waived=str(waived)))
    return rows


def one_kind(bench, name, writer):
    """The same files, copied by each in turn; what was copied is removed between, untimed."""
    work = bench.scratch / "outputs-work"
    shutil.rmtree(work, ignore_errors=True)
    (work / "outputs").mkdir(parents=True)
    subprocess.run(["python3", "-c", writer], cwd=work, check=True)
    mine, peers = [], {"rsync -a": [], "cp -r": []}
    if not shutil.which("rsync"):
        del peers["rsync -a"]
    try:
        for _ in range(bench.rounds_or(ROUNDS)):
            for peer, seconds in peers.items():
                seconds.append(peer_copy(bench, peer, work))
            mine.append(muster_copy(bench, work))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [Row(f"outputs, {name}", peer_name=peer, unit="s", peer=Sample(seconds),
                ours=Sample(mine),
                notes=["muster makes its copy durable before it gets its name; the peers do not sync"])
            for peer, seconds in peers.items()]


def peer_copy(bench, peer, work):
    target = bench.scratch / "outputs-peer"
    target.mkdir()
    os.sync()
    began = time.monotonic()
    subprocess.run([*peer.split(), str(work / "outputs") + ("/" if "rsync" in peer else ""),
                    str(target)], check=True)
    seconds = time.monotonic() - began
    shutil.rmtree(target)
    return seconds


def muster_copy(bench, work):
    """In place, with files that a rank touches: from its end to muster's, which stores them then."""
    runs = bench.scratch / "outputs-runs"
    os.sync()
    stamp = work / "stamp"
    stamp.unlink(missing_ok=True)
    subprocess.run([bench.muster, "run", "--console", "none", "--runs-dir", str(runs), "--", "sh",
                    "-c", "find outputs -type f -exec touch {} + ; touch stamp"],
                   cwd=work, env=bench.environment(), check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    seconds = time.time() - stamp.stat().st_mtime
    [run] = [path for path in runs.iterdir() if not path.name.startswith(".")]
    files = sum(len(names) for _, _, names in os.walk(run / "outputs"))
    expected = sum(len(names) for _, _, names in os.walk(work / "outputs"))
    if files != expected:
        raise Waived(f"{files} of {expected} files were stored")
    shutil.rmtree(runs)
    return seconds
