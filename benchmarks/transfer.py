"""Downloads: the program that fetches an input into the cache, against `cp -r` and `rclone copy`."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time

from measure import Row, Waived, wait_for

BUDGET = 1.2
SMALL_FILES = 10_000
LARGE_BYTES = 2 << 30
ROUNDS = 5


def measure(bench):
    rows = []
    for make, what in ((small_files, "download of 10,000 small files"),
                       (large_file, "download of one 2 GB file")):
        source = make(bench)
        try:
            for measured, name in ((local, "cp -r"), (remote, "rclone copy")):
                try:
                    rows.append(measured(bench, source, f"{what}, against {name}"))
                except Waived as waived:
                    rows.append(Row(f"{what}, against {name}", waived=str(waived)))
        finally:
            shutil.rmtree(source)
    return rows


def small_files(bench):
    source = bench.scratch / "small"
    for at in range(SMALL_FILES):
        folder = source / f"d{at % 100:02}"
        if at < 100:
            folder.mkdir(parents=True)
        (folder / f"{at}.txt").write_bytes(os.urandom(1000))
    return source


def large_file(bench):
    if shutil.disk_usage(bench.scratch).free < 3 * LARGE_BYTES:
        raise Waived("less than 6 GB of room")
    source = bench.scratch / "large"
    source.mkdir()
    with open(source / "big.bin", "wb") as file:
        for _ in range(LARGE_BYTES >> 24):
            file.write(os.urandom(1 << 24))
    return source


def local(bench, source, what):
    return compared(bench, what, "cp -r", lambda to: ["cp", "-r", str(source), str(to)],
                    {"by": "local", "source": str(source)}, {})


def remote(bench, source, what):
    """Over WebDAV on loopback: rclone at both ends, so that the network costs what it costs."""
    rclone = shutil.which("rclone")
    if rclone is None:
        raise Waived("no rclone on PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = bench.start([rclone, "--config", "/dev/null", "serve", "webdav", "--addr",
                          f"127.0.0.1:{port}", str(source)])
    try:
        wait_for(lambda: answers(port), 20, "the WebDAV server")
        variables = {"RCLONE_CONFIG_FAR_TYPE": "webdav",
                     "RCLONE_CONFIG_FAR_URL": f"http://127.0.0.1:{port}"}
        return compared(bench, what, "rclone copy",
                        lambda to: [rclone, "--config", "/dev/null", "copy", "far:", str(to)],
                        {"by": "rclone", "source": "far:",
                         "rclone": [rclone, "--config", "/dev/null"]}, variables)
    finally:
        server.kill()
        server.wait()


def compared(bench, what, peer_name, peer_argv, spec, variables):
    cache = bench.scratch / "cache"
    copy = bench.scratch / "copy"
    spec_file = bench.scratch / "spec.json"
    spec_file.write_text(json.dumps({"direction": "download", "type": "folder", "name": "input",
                                     "cache": str(cache), **spec}), encoding="utf-8")

    def timed(argv, place):
        def once():
            seconds = bench.seconds_of(argv, 300, **variables)
            # Not timed; and not left to slow down the next: ext4 is busy after thousands of these.
            shutil.rmtree(place, ignore_errors=True)
            subprocess.run(["sync", "-f", str(bench.scratch)], check=False)
            time.sleep(0.5)
            return None if seconds is None else seconds * 1000
        return once

    samples, _ = bench.interleaved({
        "peer": timed(peer_argv(copy), copy),
        "muster": timed([bench.muster, "transfer", "--spec", str(spec_file)], cache),
    }, bench.rounds_or(ROUNDS))
    row = Row(what, peer_name, "ms", samples["peer"], samples["muster"], f"{BUDGET:.2f}")
    row.met = row.ratio <= BUDGET
    return row


def answers(port):
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
