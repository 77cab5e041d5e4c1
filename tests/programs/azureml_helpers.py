"""What scripts that were written for Azure ML and Batch AI do with their environment, and a meeting.

Each helper below stands for a family of snippets that are pasted from script to script: what it
reads, in which order, and without asking whether it is there, is theirs; the words are ours.  It
gets the environment of the rank, changes it as they do, and says (rank, world size, address, port).
The ranks then meet there, as torch.distributed's store does: rank 0 listens, all others come.

    azureml_helpers.py [--torch] [NAME…]       one JSON line: {NAME: [rank, world, address, port]}
"""

import json
import os
import socket
import sys
import time

PATIENCE_S = 60.0
HELPERS = {}


def helper(function):
    HELPERS[function.__name__] = function
    return function


def meeting(env):
    return (int(env["RANK"]), int(env["WORLD_SIZE"]), env["MASTER_ADDR"], int(env["MASTER_PORT"]))


def rank_from_open_mpi(env):
    env["RANK"] = env["OMPI_COMM_WORLD_RANK"]
    env["WORLD_SIZE"] = env["OMPI_COMM_WORLD_SIZE"]
    env["LOCAL_RANK"] = env["OMPI_COMM_WORLD_LOCAL_RANK"]


@helper
def early_copy(env):
    """The port of AZ_BATCH_MASTER_NODE; what NCCL is told is read and removed without asking."""
    rank_from_open_mpi(env)
    parts = env["AZ_BATCH_MASTER_NODE"].split(":")
    env["MASTER_ADDR"] = parts[0]
    env["MASTER_PORT"] = parts[1]
    before = env["NCCL_SOCKET_IFNAME"]
    env["NCCL_SOCKET_IFNAME"] = "^docker0,lo"
    del env["NCCL_DEBUG"]
    assert before, "no interface was named"
    return meeting(env)


@helper
def later_copy(env, port=6105):
    """The port only where there is none: the one of AZ_BATCH_MASTER_NODE is a service's."""
    rank_from_open_mpi(env)
    env["MASTER_ADDR"] = env["AZ_BATCH_MASTER_NODE"].split(":")[0]
    if "MASTER_PORT" not in env:
        env["MASTER_PORT"] = str(port)
    env["NCCL_SOCKET_IFNAME"] = "^docker0,lo"
    return meeting(env)


@helper
def later_copy_with_its_own_port(env):
    """6105, whatever the environment says."""
    rank_from_open_mpi(env)
    env["MASTER_ADDR"] = env["AZ_BATCH_MASTER_NODE"].split(":")[0]
    env["MASTER_PORT"] = "6105"
    return meeting(env)


@helper
def single_node_branch(env):
    """Every rank on one node: its name, and a fixed port."""
    rank_from_open_mpi(env)
    assert int(env["OMPI_COMM_WORLD_LOCAL_SIZE"]) == int(env["WORLD_SIZE"]), "not on one node"
    env["MASTER_ADDR"] = env["AZ_BATCHAI_MPI_MASTER_NODE"]
    env["MASTER_PORT"] = "54965"
    return meeting(env)


@helper
def three_names_in_order(env):
    """One or two parts; else Batch AI's name unless it is localhost; else what clusters set."""
    node = env.get("AZ_BATCH_MASTER_NODE", "")
    batchai = env.get("AZ_BATCHAI_MPI_MASTER_NODE", "localhost")
    if node:
        parts = node.split(":")
        assert len(parts) in (1, 2), f"not an address and a port: {node}"
        env["MASTER_ADDR"] = parts[0]
    elif batchai != "localhost":
        env["MASTER_ADDR"] = batchai
    elif "MASTER_IP" in env:
        env["MASTER_ADDR"] = env["MASTER_IP"]
    env.setdefault("MASTER_PORT", "6105")
    if "OMPI_COMM_WORLD_RANK" in env:
        env["NODE_RANK"] = env["OMPI_COMM_WORLD_RANK"]
        env["RANK"] = env["OMPI_COMM_WORLD_RANK"]
    return meeting(env)


@helper
def first_of_the_host_list(env):
    env["MASTER_ADDR"] = env["AZ_BATCH_HOST_LIST"].split(",")[0]
    assert env["MASTER_ADDR"] == env["AZ_BATCH_NODE_LIST"].split(";")[0]
    assert env["MASTER_ADDR"] == env["CCP_NODES"].split()[1]
    return meeting(env)


@helper
def job_master_with_node_rank(env):
    """As Lightning and wrappers around torchrun: the number of the node, from what they have."""
    local_rank, local_size = int(env["LOCAL_RANK"]), int(env["LOCAL_WORLD_SIZE"])
    node_rank = (int(env["RANK"]) - local_rank) // local_size
    for name in ("NODE_RANK", "GROUP_RANK", "AZUREML_CR_NODE_RANK"):
        assert int(env[name]) == node_rank, f"{name} is {env[name]}, not {node_rank}"
    env["MASTER_ADDR"] = env["AZ_BATCHAI_JOB_MASTER_NODE_IP"]
    return meeting(env)


@helper
def batchai_init_method(env):
    """A URL for init_process_group, and the rank as Batch AI counts tasks."""
    scheme, _, place = env["AZ_BATCHAI_PYTORCH_INIT_METHOD"].partition("://")
    assert scheme == "tcp"
    address, _, port = place.rpartition(":")
    return int(env["AZ_BATCHAI_TASK_INDEX"]), int(env["WORLD_SIZE"]), address, int(port)


@helper
def process_name(env):
    """The rank from the name that says which log is whose."""
    rank = int(env["AZUREML_PROCESS_NAME"].rpartition("_")[2])
    return rank, int(env["WORLD_SIZE"]), env["MASTER_ADDR"], int(env["MASTER_PORT"])


def listen(port):
    """On all addresses, as the store does.  A port that scripts fix may be busy for a moment."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6,
                                        dualstack_ipv6=True, backlog=64)
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def come(address, port, words):
    """The answer of who listens there; an earlier meeting may be about to leave the same port."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with socket.create_connection((address, port), timeout=PATIENCE_S) as host:
                host.sendall(words.encode())
                if answer := host.makefile("r").readline():
                    return answer
                raise ConnectionResetError("left without an answer")
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def meet(name, rank, world, address, port):
    """Every rank comes once, and each learns that all have."""
    if rank == 0:
        with listen(port) as server:
            server.settimeout(PATIENCE_S)
            guests = [server.accept()[0] for _ in range(world - 1)]
            words = []
            for guest in guests:
                guest.settimeout(PATIENCE_S)
                words.append(guest.makefile("r").readline().split())
            expected = [[name, str(other)] for other in range(1, world)]
            assert sorted(words) == sorted(expected), f"{name}: {words}"
            for guest in guests:
                guest.sendall(b"all\n")
                guest.close()
    else:
        answer = come(address, port, f"{name} {rank}\n")
        assert answer == "all\n", f"{name}: {answer!r}"


def meet_with_torch(name, rank, world, address, port):
    import torch
    import torch.distributed as dist

    if name == "batchai_init_method":
        dist.init_process_group("gloo", init_method=f"tcp://{address}:{port}", rank=rank,
                                world_size=world)
    else:
        dist.init_process_group("gloo")  # from the environment
    total = torch.tensor([rank + 1])
    dist.all_reduce(total)
    assert total.item() == world * (world + 1) // 2, f"{name}: {total.item()}"
    dist.destroy_process_group()


def main():
    words = sys.argv[1:]
    with_torch = "--torch" in words
    names = [word for word in words if word != "--torch"] or list(HELPERS)
    original = dict(os.environ)
    found = {}
    for name in names:
        os.environ.clear()
        os.environ.update(original)
        found[name] = HELPERS[name](os.environ)
        (meet_with_torch if with_torch else meet)(name, *found[name])
    print(json.dumps(found), flush=True)


main()
