"""The package itself: Python 3.8, the standard library alone, its page, and a wheel of it."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python/muster_azureml"


def module_names():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Sources(unittest.TestCase):
    def test_every_file_is_python_3_8_and_stands_on_the_standard_library(self):
        files = sorted(PACKAGE.rglob("*.py"))
        self.assertGreater(len(files), 20)
        for path in files:
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))
            for node in ast.walk(tree):
                names = []
                if isinstance(node, ast.Import):
                    names = [each.name for each in node.names]
                elif isinstance(node, ast.ImportFrom):
                    self.assertEqual(node.level, 0, path)
                    names = [node.module]
                for name in names:
                    top = name.split(".")[0]
                    self.assertIn(top, sys.stdlib_module_names | {"muster_azureml"}, path)

    def test_every_module_can_be_imported_first(self):
        # One interpreter each: an import circle shows only where it is entered.
        code = "import importlib, sys\nfor name in sys.argv[1:]:\n" \
               "    for each in [each for each in sys.modules if each.startswith('muster_')]:\n" \
               "        del sys.modules[each]\n    importlib.import_module(name)\n"
        done = subprocess.run([sys.executable, "-B", "-c", code, *module_names()],
                              capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)


class Page(unittest.TestCase):
    def test_every_name_that_the_page_lists_exists(self):
        page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
        module = None
        listed = 0
        for line in page.splitlines():
            heading = re.match(r"### `(muster_azureml[\w.]*)`", line)
            if heading:
                module = importlib.import_module(heading.group(1))
            if line.startswith("## "):
                module = None
            row = re.match(r"\| (`[^|]*) \|", line)
            if not row or module is None:
                continue
            for name in re.findall(r"`([A-Za-z_][\w.]*)", row.group(1)):
                target = module
                for part in name.split("."):
                    self.assertTrue(hasattr(target, part) or is_field(target, part),
                                    f"{module.__name__} has no {name}")
                    target = getattr(target, part, None)
                listed += 1
        self.assertGreater(listed, 60)


def is_field(owner, name):
    """Whether an object's __init__ sets it."""
    code = getattr(getattr(owner, "__init__", None), "__code__", None)
    return code is not None and name in code.co_names


class Installed(unittest.TestCase):
    def test_ranks_find_the_package_and_not_what_is_installed_beside_it(self):
        with tempfile.TemporaryDirectory() as scratch:
            site = Path(scratch, "site-packages")
            shutil.copytree(PACKAGE, site / "muster_azureml",
                            ignore=shutil.ignore_patterns("__pycache__"))
            (site / "other-1.dist-info").mkdir()
            (site / "other.py").write_text("")
            code = "from muster_azureml.core.experiment import package_path; print(package_path())"
            for _ in range(2):  # the second finds what the first made
                done = subprocess.run(
                    [sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True,
                    env={"PYTHONPATH": str(site), "MUSTER_CACHE_DIR": f"{scratch}/cache"})
                place = Path(done.stdout.strip())
                self.assertEqual([each.name for each in place.iterdir()], ["muster_azureml"])
                self.assertTrue((place / "muster_azureml/core/run.py").is_file())
            subprocess.run([sys.executable, "-B", "-c", "import muster_azureml.core"], check=True,
                           env={"PYTHONPATH": str(place)})


class Wheel(unittest.TestCase):
    def test_a_wheel_has_every_module(self):
        if importlib.util.find_spec("pip") is None or importlib.util.find_spec("wheel") is None:
            self.skipTest("no pip or wheel for this Python")
        with tempfile.TemporaryDirectory() as scratch:
            # A copy: building leaves folders beside the source.
            shutil.copytree(PACKAGE.parent, f"{scratch}/python",
                            ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
            done = subprocess.run(
                [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-index",
                 "--no-deps", "--wheel-dir", scratch, f"{scratch}/python"],
                capture_output=True, text=True, check=False, timeout=100)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            (wheel,) = Path(scratch).glob("muster_azureml-*-py3-none-any.whl")
            inside = set(zipfile.ZipFile(wheel).namelist())
            files = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*.py")}
            self.assertEqual(files - inside, set())


if __name__ == "__main__":
    unittest.main()
