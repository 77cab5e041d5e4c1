"""Start: the whole of `muster run -n N -- true` against `mpirun -np N true` as a user types it."""

import os
import statistics

from measure import CORES, DIRECT, SOURCE_DIR, Row, Sample, Waived

STOCK_TRIES = 8
STOCK_TIMEOUT = 4.0
ROUNDS = {2: 25, 8: 11, 64: 7, 256: 3}
ROUNDS5 = {2: 15, 64: 5}
EXTRA_MS_AT_2 = 15.0  # for Open MPI 5, which has less to leave out than Open MPI 4
# Where scripts/test puts PyPI's Open MPI 5.
OPENMPI5 = SOURCE_DIR / "build/release/tests/openmpi5"


def measure(bench):
    rows = []
    for ranks, rounds in ROUNDS.items():
        rows += waived_if_impossible(lambda: through_mpirun(bench, ranks, bench.rounds_or(rounds)),
                                     f"start, {ranks} ranks")
    for ranks, rounds in ROUNDS5.items():
        rows += waived_if_impossible(lambda: through_mpirun5(bench, ranks, bench.rounds_or(rounds)),
                                     f"start, {ranks} ranks, Open MPI 5")
    for name, find in (("Debian's torchrun", debian_torchrun), ("PyPI's torchrun", pypi_torchrun)):
        rows += waived_if_impossible(lambda: against_torchrun(bench, name, find()),
                                     f"start without MPI, 2 ranks ({name})")
    rows += waived_if_impossible(lambda: stock_hangs(bench), "stock mpirun -np 64")
    return rows


def waived_if_impossible(function, what):
    try:
        return function()
    except Waived as waived:
        return [Row(what, waived=str(waived))]


def milliseconds(bench, argv, timeout=60.0, **environment):
    def once():
        seconds = bench.seconds_of(argv, timeout, **environment)
        return None if seconds is None else seconds * 1000
    return once


def start_row(what, peer_name, samples, hung, ours="muster"):
    row = Row(what, peer_name, "ms", samples["mpirun"], samples[ours])
    if ours == "muster":
        # Pairs of one round: what the machine did meanwhile, it did to both.
        extra = Sample([own - peer for own, peer in
                        zip(samples["muster"].values, samples["mpirun"].values)])
        row.notes.append(f"difference within a round: median {extra.median:+.1f} ms")
        row.budget, row.met = "1.00", row.ratio <= 1
    if hung["mpirun"]:
        row.notes.append(f"mpirun hung {hung['mpirun']} times; not timed")
    return row


def through_mpirun(bench, ranks, rounds):
    peer = bench.mpirun(ranks, "true")
    samples, hung = bench.interleaved({
        "mpirun": milliseconds(bench, peer),
        "muster": milliseconds(bench, bench.run_line(ranks, "true", options=["--backend", "mpi"])),
        "direct": milliseconds(bench, bench.run_line(ranks, "true", options=DIRECT)),
    }, rounds, warm_up=2)
    name = f"mpirun -np {ranks} true"
    row = start_row(f"start, {ranks} ranks", name, samples, hung)
    if ranks > CORES:
        row.notes.append(f"more ranks than the {CORES} cores: both oversubscribe")
    return [row, start_row(f"start without MPI, {ranks} ranks", name, samples, hung, "direct")]


def through_mpirun5(bench, ranks, rounds):
    found = sorted(OPENMPI5.glob("5.*/local/bin/mpirun")) + sorted(OPENMPI5.glob("5.*/bin/mpirun"))
    if not found:
        raise Waived("no Open MPI 5 in build/release/tests; tests/e2e/test_openmpi5.py installs it")
    path = f"{found[0].parent}:{os.environ['PATH']}"
    peer = bench.mpirun(ranks, "true", prefix="--prtemca")
    samples, hung = bench.interleaved({
        "mpirun": milliseconds(bench, peer, PATH=path),
        "muster": milliseconds(bench, bench.run_line(ranks, "true", options=["--backend", "mpi"]),
                               PATH=path),
    }, rounds, warm_up=2)
    row = start_row(f"start, {ranks} ranks, Open MPI 5", f"its mpirun -np {ranks} true", samples,
                    hung)
    if ranks == 2:
        row.budget = f"+ {EXTRA_MS_AT_2:.0f} ms"
        row.met = row.ours.median - row.peer.median <= EXTRA_MS_AT_2
    return [row]


def debian_torchrun():
    if not os.access("/usr/bin/torchrun", os.X_OK):
        raise Waived("no /usr/bin/torchrun (Debian: python3-torch)")
    return "/usr/bin/torchrun"


def pypi_torchrun():
    venv = os.environ.get("MUSTER_TORCH_VENV")
    if not venv:
        raise Waived("MUSTER_TORCH_VENV names no virtual environment with PyPI's torch")
    torchrun = os.path.join(venv, "bin/torchrun")
    if not os.access(torchrun, os.X_OK):
        raise Waived(f"no {torchrun}")
    return torchrun


def against_torchrun(bench, name, torchrun):
    # Debian's 1.13 looks only every 5 s whether ranks have ended, and without files for their output
    # it fails now and then.
    peer = [torchrun, "-r", "1", "-t", "1", "--log_dir", str(bench.scratch / "torchrun"),
            "--monitor_interval", "0.1", "--nproc_per_node", "2", "--no_python", "true"]
    samples, _ = bench.interleaved({
        "torchrun": milliseconds(bench, peer),
        "direct": milliseconds(bench, bench.run_line(2, "true", options=DIRECT)),
    }, bench.rounds_or(5))
    row = Row("start without MPI, 2 ranks", name, "ms", samples["torchrun"], samples["direct"],
              "1/10")
    row.met = row.ratio <= 0.1
    return [row]


def stock_hangs(bench):
    """How often mpirun hangs without the setting that we give it, and how often Muster does."""
    argv = bench.mpirun(64, "true", safe=False)
    times = [bench.seconds_of(argv, STOCK_TIMEOUT) for _ in range(STOCK_TRIES)]
    ours = [bench.seconds_of(bench.run_line(64, "true", options=["--backend", "mpi"]),
                             STOCK_TIMEOUT) for _ in range(STOCK_TRIES)]
    row = Row("starts of 64 ranks that hang", "stock mpirun -np 64 true", f"of {STOCK_TRIES}",
              Sample([times.count(None)]), Sample([ours.count(None)]), "0", None not in ours)
    ended = [each for each in times if each is not None]
    row.notes.append(f"hang: not ended after {STOCK_TIMEOUT:.0f} s; those that ended took "
                     + (f"{statistics.median(ended) * 1000:.0f} ms" if ended else "no time: none"))
    return [row]
