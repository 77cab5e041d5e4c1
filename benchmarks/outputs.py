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
    for name, writer, count in (("10,000 small files", SMALL_WRITER, SMALL_FILES),
                                ("one file of 2 GB", LARGE_WRITER, LARGE >> 20)):
        try:
            rows += one_kind(bench, name, writer.format(count=count))
        except Waived as waived:
            rows.append(Row(f"outputs, {name}", waived=str(waived)))
    return rows


def one_kind(bench, name, writer):
    """The same files, copied by each in turn.

    Copies of small files stay until the end: where many were removed in the last minute, ext4 looks
    long for a free inode, and whoever comes next would pay for it."""
    copies = bench.scratch / "outputs-copies"
    work = bench.scratch / "outputs-work"
    shutil.rmtree(work, ignore_errors=True)
    (work / "outputs").mkdir(parents=True)
    subprocess.run(["python3", "-c", writer], cwd=work, check=True)
    mine, peers = [], {"rsync -a": [], "cp -r": []}
    if not shutil.which("rsync"):
        del peers["rsync -a"]
    try:
        for number in range(bench.rounds_or(ROUNDS)):
            for peer, seconds in peers.items():
                seconds.append(peer_copy(peer, work, copies / f"{peer.split()[0]}-{number}"))
            mine.append(muster_copy(bench, work, copies / f"muster-{number}"))
            if "small" not in name:
                shutil.rmtree(copies)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(copies, ignore_errors=True)
    return [Row(f"outputs, {name}", peer_name=peer, unit="s", peer=Sample(seconds),
                ours=Sample(mine),
                notes=["muster makes its copy durable before it gets its name; the peers do not sync"])
            for peer, seconds in peers.items()]


def peer_copy(peer, work, target):
    target.mkdir(parents=True)
    os.sync()
    began = time.monotonic()
    subprocess.run([*peer.split(), str(work / "outputs") + ("/" if "rsync" in peer else ""),
                    str(target)], check=True)
    return time.monotonic() - began


def muster_copy(bench, work, runs):
    """In place, with files that a rank touches: from its end to muster's, which stores them then."""
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
    return seconds
