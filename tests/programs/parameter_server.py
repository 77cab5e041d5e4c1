"""Workers and parameter servers as TensorFlow arranges them, without TensorFlow.

Each process finds its place in TF_CONFIG alone.  A parameter server keeps one number, and answers
for as long as it is let live; a worker adds to the number of each, waits until the others have,
and ends.  Options for tests:

    --worker-fails N       worker N ends with 3 before it has added anything
    --worker-waits         a worker never ends
    --server-fails         the first parameter server ends with 4 after its first request
    --servers-ignore-term  SIGTERM does not end a parameter server
"""

import json
import os
import signal
import socket
import sys
import time

PATIENCE_S = 60.0


def ask(address, words):
    """The answer of a parameter server; it may still be about to listen."""
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as server:
                server.sendall((words + "\n").encode())
                return int(server.makefile("r").readline())
        except (ConnectionRefusedError, ConnectionResetError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def serve(own_address):
    host, _, port = own_address.rpartition(":")
    number = 0
    with socket.create_server((host, int(port)), backlog=64) as server:
        while True:
            guest, _ = server.accept()
            with guest:
                number += int(guest.makefile("r").readline())
                guest.sendall(f"{number}\n".encode())
            if "--server-fails" in sys.argv:
                sys.exit(4)


def work(cluster, index):
    if "--worker-fails" in sys.argv and sys.argv[sys.argv.index("--worker-fails") + 1] == str(index):
        sys.exit(3)
    while "--worker-waits" in sys.argv:
        time.sleep(1)
    workers = len(cluster["worker"])
    total = workers * (workers + 1) // 2
    for server in cluster.get("ps", []):
        ask(server, str(index + 1))
        deadline = time.monotonic() + PATIENCE_S
        while ask(server, "0") != total:
            assert time.monotonic() < deadline, f"{server} never had the work of all"
            time.sleep(0.02)


def main():
    config = json.loads(os.environ["TF_CONFIG"])
    cluster, task = config["cluster"], config["task"]
    print(json.dumps(config), flush=True)
    if task["type"] == "ps":
        if "--servers-ignore-term" in sys.argv:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        serve(cluster["ps"][task["index"]])
    else:
        work(cluster, task["index"])


main()
