"""TensorBoard for tests: PyPI's wheels in a folder of the build tree.  Made once, kept between runs."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

# Without what scripts/setup installs anyway (numpy); with the native data server, which is its
# default and reads event files with a reader of its own.
WHEELS = ["tensorboard==2.20.0", "tensorboard-data-server==0.7.2", "absl-py==2.1.0", "grpcio==1.66.2", "markdown==3.7",
          "protobuf==5.28.3", "werkzeug==3.0.6", "MarkupSafe==2.1.5", "packaging==24.1",
          "six==1.16.0", "pillow==10.4.0"]
SOURCE_DIR = Path(__file__).resolve().parents[2]
DIRECTORY = Path(os.environ.get("MUSTER_TENSORBOARD_DIR",
                                SOURCE_DIR / "build/release/tests/tensorboard"))


def installed():
    """What goes into PYTHONPATH; SkipTest with the reason when it cannot be had."""
    place = DIRECTORY / "2.20.0-with-server"
    if place.is_dir():
        return place
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DIRECTORY) as temporary:
        new = Path(temporary) / "new"
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-input",
                 "--disable-pip-version-check", "--retries", "1", "--timeout", "15",
                 "--only-binary", ":all:", "--target", new, *WHEELS],
                stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=150, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise unittest.SkipTest(f"no TensorBoard: {error}") from None
        if done.returncode != 0:
            last = (done.stdout.strip().splitlines() or ["no output"])[-1]
            raise unittest.SkipTest(f"no TensorBoard: {last}")
        try:
            new.rename(place)
        except OSError:
            shutil.rmtree(new, ignore_errors=True)  # somebody else was faster
    return place
