"""Python packages: environments that are made once, found again, never half-made, and never made
elsewhere.  All but one test are offline: their wheels are written here."""

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import muster_test
from muster_test import PYTHON, ROUNDS, MusterTest, all_processes, carries, needs_mpirun, wait_until


def write_wheel(directory, name, version, requires=(), files=None):
    """A wheel is a zip with four files of description."""
    meta = f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": f"import sys\nversion = {version!r}\n\n\ndef main():\n    print(sys.prefix)\n",
        **(files or {}),
        f"{meta}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                            + "".join(f"Requires-Dist: {each}\n" for each in requires),
        f"{meta}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
                         "Tag: py3-none-any\n",
        f"{meta}/entry_points.txt": f"[console_scripts]\n{name}-tool = {name}:main\n",
    }
    content[f"{meta}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{meta}/RECORD"])
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in content.items():
            wheel.writestr(file, text)
    return path


REPORT = """
import importlib.metadata, json, os, shutil, sys
print(json.dumps({
    "prefix": sys.prefix, "executable": sys.executable, "virtual_env": os.environ.get("VIRTUAL_ENV"),
    "conda_prefix": os.environ.get("CONDA_PREFIX"), "pip": shutil.which("pip"),
    "tool": shutil.which("tinypack-tool"), "python": shutil.which("python"),
    "versions": {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()},
}))
"""


class SilentServer:
    """Takes connections and never answers."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]


class PackagesTest(MusterTest):
    def setUp(self):
        super().setUp()
        self.cache = self.directory / "cache"
        self.wheels = self.directory / "wheels"
        write_wheel(self.wheels, "tinypack", "1.2")
        write_wheel(self.wheels, "otherpack", "2.0", ["tinypack"])
        (self.work_dir / "report.py").write_text(REPORT, encoding="utf-8")

    def environment(self, changes=None):
        variables = {"MUSTER_CACHE_DIR": str(self.cache), "HOME": str(self.directory),
                     **{name: None for name in os.environ if name.startswith("PIP_")},
                     "VIRTUAL_ENV": None, "CONDA_PREFIX": None, "MAMBA_EXE": None,
                     "CONDA_EXE": None, **(changes or {})}
        return super().environment(variables)

    def write_config(self, python, run="entry_script: report.py", more=None, name="run.yaml",
                     offline=True, processes=1, backend="direct"):
        """python: keys of environment.python.  YAML's flow form is JSON's."""
        python = {"interpreter": PYTHON, **python}
        if offline:
            python.setdefault("pip_options", ["--no-index", "--find-links", str(self.wheels)])
        text = (f"{run}\nprocess_count_per_node: {processes}\ndistributed_backend: {backend}\n"
                f"environment: {json.dumps({'python': python, **(more or {})})}\n")
        (self.work_dir / name).write_text(text, encoding="utf-8")
        return name

    def plan(self, config="run.yaml", **keywords):
        result = self.run_muster(["plan", config, "--format", "json"], **keywords)
        self.assert_code(result, 0)
        return json.loads(result.stdout)

    def key(self, **keywords):
        return self.plan(**keywords)["python_environment"]["key"]

    def report(self, result, rank=0):
        self.assert_code(result, 0)
        return json.loads(result.rank_bytes(rank))

    def environment_directories(self):
        root = self.cache / "python"
        return sorted(root.iterdir()) if root.is_dir() else []

    def log(self, result):
        path = result.run_directory / "launcher/python-environment.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def assert_whole(self, count=1):
        """So many environments are there, each complete, and nothing else."""
        directories = self.environment_directories()
        self.assertEqual(len(directories), count)
        for directory in directories:
            names = sorted(path.name for path in directory.iterdir())
            self.assertEqual(len(names), 3, names)
            self.assertEqual(names[:2], ["env", "lock"])
            self.assertEqual(os.readlink(directory / "env"), names[2])

    # What a run gets.

    def test_ranks_run_with_their_packages_and_the_next_run_finds_them(self):
        self.write_config({"pip_packages": ["otherpack"]}, processes=2)
        planned = self.plan()["python_environment"]
        self.assertFalse(planned["made"])
        first = self.run_muster(["run", "run.yaml"])
        for rank in (0, 1):
            seen = self.report(first, rank)
            self.assertEqual(seen["prefix"], planned["prefix"])
            self.assertEqual(seen["virtual_env"], planned["prefix"])
            for name, program in (("tool", "tinypack-tool"), ("python", "python"), ("pip", "pip")):
                self.assertEqual(seen[name], f"{planned['prefix']}/bin/{program}")
            self.assertEqual(seen["versions"]["tinypack"], "1.2")
            self.assertEqual(seen["versions"]["otherpack"], "2.0")
        self.assertIn("making the Python environment", first.stderr)
        self.assertIn("Successfully installed otherpack-2.0 tinypack-1.2", self.log(first))
        second = self.run_muster(["run", "run.yaml"])
        self.assertEqual(self.report(second)["prefix"], planned["prefix"])
        self.assertNotIn("making the Python environment", second.stderr)
        self.assertRegex(second.stderr, r"muster: Python environment 3\.\d+-\w+, made 20")
        self.assertEqual(self.log(second), "")
        self.assertTrue(self.plan()["python_environment"]["made"])
        self.assert_whole()
        tool = subprocess.run([f"{planned['prefix']}/bin/tinypack-tool"], capture_output=True,
                              text=True, check=True)
        self.assertIn(str(self.cache), tool.stdout)

    def test_a_command_finds_its_python_too(self):
        # Also before a PATH of the config's own.
        self.write_config({"pip_packages": ["tinypack"]}, run="command: python report.py",
                          more={"variables": {"PATH": "/usr/bin:/bin"}})
        seen = self.report(self.run_muster(["run", "run.yaml"]))
        self.assertEqual(seen["prefix"], self.plan()["python_environment"]["prefix"])
        self.assertEqual(seen["versions"]["tinypack"], "1.2")

    def test_python_is_python3_where_there_is_no_other(self):
        tools = self.directory / "tools"
        tools.mkdir()
        (tools / "python3").symlink_to(PYTHON)
        self.write_config({"interpreter": "python", "pip_packages": ["tinypack"]})
        planned = self.plan(env={"PATH": str(tools)})
        self.assertIn("there is no python on PATH: python3 is taken", json.dumps(planned))
        self.write_config({"interpreter": r"C:\Python36\python.exe", "pip_packages": ["tinypack"]})
        result = self.run_muster(["plan", "run.yaml"])
        self.assert_code(result, 69)
        self.assertIn(r'there is no Python "C:\Python36\python.exe" on this node', result.stderr)

    def test_a_requirements_file_is_found_in_the_source_or_beside_the_config(self):
        source = self.work_dir / "src"
        source.mkdir()
        shutil.copy(self.work_dir / "report.py", source)
        (source / "requirements.txt").write_text("-r more.txt  # nested\n", encoding="utf-8")
        (source / "more.txt").write_text("tinypack==1.2\n", encoding="utf-8")
        (self.work_dir / "requirements.txt").write_text("otherpack\n", encoding="utf-8")
        self.write_config({"pip_requirements_file": "requirements.txt"},
                          run="source_directory: src\nentry_script: report.py")
        self.assertIn(f"pip_requirements_file requirements.txt is {source}/requirements.txt",
                      json.dumps(self.plan()["reasons"]))
        seen = self.report(self.run_muster(["run", "run.yaml"]))
        self.assertEqual(seen["versions"].get("tinypack"), "1.2")
        self.assertNotIn("otherpack", seen["versions"])
        before = self.key()
        (source / "more.txt").write_text("tinypack\n", encoding="utf-8")
        self.assertNotEqual(self.key(), before)
        (source / "requirements.txt").unlink()
        self.assertIn(f"is {self.work_dir}/requirements.txt", json.dumps(self.plan()["reasons"]))
        (self.work_dir / "requirements.txt").unlink()
        result = self.run_muster(["validate", "run.yaml"])
        self.assert_code(result, 65)
        self.assertIn(f"it is looked for in {source}, then in {self.work_dir}", result.stderr)

    def test_the_key_follows_what_decides_and_nothing_else(self):
        self.write_config({"pip_packages": ["tinypack", "otherpack"]})
        key = self.key()
        self.write_config({"pip_packages": ["otherpack", "tinypack"]})
        self.assertEqual(self.key(), key)
        write_wheel(self.wheels, "unrelated", "3.0")
        self.assertEqual(self.key(), key)
        self.assertNotEqual(self.key(env={"PIP_PRE": "1"}), key)
        self.assertEqual(self.key(env={"PIP_TIMEOUT": "1"}), key)
        write_wheel(self.wheels, "tinypack", "1.3")
        self.assertNotEqual(self.key(), key)
        self.write_config({"pip_packages": ["tinypack", "otherpack"],
                           "system_site_packages": False})
        self.assertNotEqual(self.key(), key)
        # A token is no part of it: a new one for the same index changes nothing.
        keys = {self.key(env={"PIP_INDEX_URL": f"https://me:{token}@packages.example/simple"})
                for token in ("one", "two")}
        self.assertEqual(len(keys), 1)

    def test_the_packages_of_another_environment_stay_visible(self):
        parent = self.directory / "parent"
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", "--system-site-packages", parent],
                       check=True)
        site = next(parent.glob("lib/python3*/site-packages"))
        (site / "parentpack-7.0.dist-info").mkdir()
        (site / "parentpack-7.0.dist-info/METADATA").write_text(
            "Metadata-Version: 2.1\nName: parentpack\nVersion: 7.0\n", encoding="utf-8")
        self.write_config({"interpreter": str(parent / "bin/python"),
                           "pip_packages": ["tinypack", "parentpack"]})
        seen = self.report(self.run_muster(["run", "run.yaml"]))
        self.assertEqual(seen["versions"]["parentpack"], "7.0")
        self.assertEqual(seen["versions"]["tinypack"], "1.2")
        self.assertTrue(seen["prefix"].startswith(str(self.cache)))

    def test_without_the_packages_of_the_system(self):
        self.write_config({"pip_packages": ["tinypack"], "system_site_packages": False})
        seen = self.report(self.run_muster(["run", "run.yaml"]))
        self.assertEqual(set(seen["versions"]) - {"pip", "setuptools", "wheel"}, {"tinypack"})

    def interpreter_without(self, **facts):
        """A Python that says something else of itself when it is asked."""
        path = self.directory / "odd-python"
        facts = {"executable": PYTHON, "version": "3.11.2", "platform": "odd", "venv": True,
                 "ensurepip": False, "virtualenv": False, "pip": "23.0.1",
                 "in_environment": False, "directories": [], "installed": [], **facts}
        path.write_text(f"#!/bin/sh\n[ \"$2\" = -c ] && echo '{json.dumps(facts)}' && exit\n"
                        f"exec {PYTHON} \"$@\"\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    def test_an_interpreter_without_ensurepip(self):
        # As Debian without python3-venv.
        self.write_config({"interpreter": self.interpreter_without(), "pip_packages": ["tinypack"],
                           "system_site_packages": False})
        seen = self.report(self.run_muster(["run", "run.yaml"]))
        self.assertEqual(set(seen["versions"]), {"tinypack"})
        self.write_config({"interpreter": self.interpreter_without(pip=""),
                           "pip_packages": ["tinypack"]})
        result = self.run_muster(["run", "run.yaml"])
        self.assert_code(result, 69)
        self.assertIn("it has neither ensurepip nor virtualenv nor pip", result.stderr)
        self.assertIn("apt-get install python3-venv", result.stderr)

    def test_user_managed_installs_nothing_and_says_what_is_missing(self):
        self.write_config({"user_managed": True, "pip_packages": ["tinypack", "pip==0.1"]})
        result = self.run_muster(["run", "run.yaml"])
        self.assertEqual(self.report(result)["virtual_env"], None)
        self.assertRegex(result.stderr, r"warning: the packages of /usr/bin/python3[.\d]* are not "
                                        r"those that the config lists, .*: tinypack is not "
                                        r"installed, pip==0.1 is \d")
        self.assertEqual(self.environment_directories(), [])

    # What goes wrong.

    def test_a_package_that_is_not_there(self):
        self.write_config({"pip_packages": ["nowhere-to-be-found"]})
        result = self.run_muster(["run", "run.yaml"])
        self.assert_code(result, 69)
        self.assertIn("installing packages of the Python environment", result.stderr)
        self.assertIn("No matching distribution found for nowhere-to-be-found", result.stderr)
        self.assertEqual(result.run_json["origin"], "muster")
        self.assertEqual([each.name for each in self.environment_directories()[0].iterdir()],
                         ["lock"])
        self.assertFalse(self.plan()["python_environment"]["made"])

    def test_pips_settings_do_not_take_packages_elsewhere(self):
        elsewhere = self.directory / "elsewhere"
        self.write_config({"pip_packages": ["tinypack"]})
        seen = self.report(self.run_muster(["run", "run.yaml"], env={
            "PIP_TARGET": elsewhere, "PIP_USER": "1", "PYTHONUSERBASE": elsewhere}))
        self.assertEqual(seen["versions"]["tinypack"], "1.2")
        self.assertFalse(elsewhere.exists())
        shutil.rmtree(self.cache)
        settings = self.directory / "pip.conf"
        settings.write_text(f"[install]\nuser = true\n", encoding="utf-8")
        self.report(self.run_muster(["run", "run.yaml"], env={"PIP_CONFIG_FILE": settings,
                                                              "PYTHONUSERBASE": elsewhere}))
        self.assertFalse(elsewhere.exists())
        shutil.rmtree(self.cache)
        settings.write_text(f"[install]\ntarget = {elsewhere}\n", encoding="utf-8")
        result = self.run_muster(["run", "run.yaml"], env={"PIP_CONFIG_FILE": settings})
        self.assert_code(result, 69)
        self.assertIn("pip's setting install.target would take packages elsewhere", result.stderr)
        self.assertFalse(elsewhere.exists())

    def test_options_of_pip_that_lead_elsewhere_are_refused(self):
        elsewhere = self.directory / "elsewhere"
        for words in (["--target", str(elsewhere)], [f"--targ={elsewhere}"], ["--user"],
                      ["-qt", str(elsewhere)], ["--dry-run"]):
            with self.subTest(words=words):
                self.write_config({"pip_packages": ["tinypack"], "pip_options": [
                    "--no-index", "--find-links", str(self.wheels), *words]})
                for command in ("plan", "run"):
                    result = self.run_muster([command, "run.yaml"])
                    self.assert_code(result, 65)
                    self.assertIn("run.yaml:4:", result.stderr)
                    self.assertIn("pip_options: \"-", result.stderr)
                    self.assertIn("user_managed: true", result.stderr)
        self.assertEqual(self.environment_directories(), [])
        self.assertFalse(elsewhere.exists())

    def start_with_silent_index(self, stall="300s", secret="s3cret-0f-4-person"):
        server = SilentServer()
        self.addCleanup(server.socket.close)
        url = f"http://me:{secret}@127.0.0.1:{server.port}/simple?token={secret}"
        self.write_config({"pip_packages": ["tinypack"], "pip_options": ["--index-url", url]})
        muster = self.start_muster(["run", "run.yaml", "--set",
                                    f"limits.transfer_stall_timeout={stall}"])
        server.socket.settimeout(60)
        connection, _ = server.socket.accept()
        self.addCleanup(connection.close)
        return muster

    def test_an_index_that_never_answers(self):
        result = self.start_with_silent_index(stall="1s").wait()
        self.assert_code(result, 69)
        self.assertIn("has done nothing for 1.0 s", result.stderr)
        self.assert_nothing_left()
        self.assertEqual([each.name for each in self.environment_directories()[0].iterdir()],
                         ["lock"])

    def test_a_stop_while_packages_are_installed(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(signal=number):
                muster = self.start_with_silent_index()
                muster.send(number)
                self.assert_code(muster.wait(), code)
                self.assert_nothing_left()
                self.assertEqual(
                    [each.name for each in self.environment_directories()[0].iterdir()], ["lock"])

    def test_credentials_are_shown_nowhere(self):
        secret = "s3cret-0f-4-person"
        muster = self.start_with_silent_index(secret=secret)
        mine = [each for each in all_processes() if carries(each.pid, "TEST_MARK", self.mark)]
        self.assertTrue(any("pip" in each.argv for each in mine), mine)
        for process in mine:
            self.assertNotIn(secret, " ".join(process.argv))
        muster.send(signal.SIGTERM)
        result = muster.wait()
        texts = {"stderr": result.stderr}
        for command in (["plan", "run.yaml"], ["plan", "run.yaml", "--format", "json"],
                        ["validate", "run.yaml"]):
            shown = self.run_muster(command)
            self.assert_code(shown, 0)
            texts[" ".join(command)] = shown.stdout + shown.stderr
            self.assertIn("http://****@127.0.0.1", texts[" ".join(command)])
        for path in [*result.run_directory.rglob("*"), *self.cache.rglob("*")]:
            if path.is_file():
                texts[str(path)] = path.read_text(encoding="utf-8", errors="replace")
        for where, text in texts.items():
            self.assertNotIn(secret, text, where)

    def test_a_status_while_packages_are_installed_and_the_time_it_took(self):
        muster = self.start_with_silent_index()
        shown = self.run_muster(["status", str(muster.run_directory)])
        self.assertIn(": source, packages and data are made ready", shown.stdout)
        time.sleep(0.2)
        muster.send(signal.SIGINT)
        result = muster.wait()
        self.assert_code(result, 130)
        shown = self.run_muster(["status", str(result.run_directory)])
        self.assertRegex(result.stderr + shown.stdout, r"after \d")
        self.assertNotIn("after 0 ms", result.stderr + shown.stdout)

    def test_what_is_said_before_a_detachment_is_heard(self):
        for made in range(ROUNDS):
            self.write_config({"pip_packages": ["tinypack"]}, run="command: exec sleep 60",
                              more={"image": "no.such/image:1"})
            begun = self.run_muster(["run", "run.yaml", "--detach"])
            self.assert_code(begun, 0)
            run_id = begun.stdout.strip()
            self.addCleanup(self.run_muster, ["cancel", run_id, "--now"])
            self.assertIn("no.such/image", begun.stderr)
            self.assertIn("Python environment", begun.stderr)
            self.assertEqual("made the Python environment" in begun.stderr, made == 0)
            self.assert_code(self.run_muster(["cancel", run_id, "--now"]), 0)

    # Several at once, and killed ones.

    def test_runs_that_start_together_make_it_once(self):
        self.write_config({"pip_packages": ["otherpack"]})
        running = [self.start_muster(["run", "run.yaml", "--run-id", f"r{i}"]) for i in range(4)]
        codes = [each.process.wait(120) for each in running]
        words = [each.output().decode() for each in running]
        self.assertEqual(codes, [0] * 4, words)
        logs = [(self.runs_dir / f"r{i}/launcher/python-environment.log") for i in range(4)]
        installed = [log for log in logs if log.exists() and "Successfully installed" in
                     log.read_text(encoding="utf-8")]
        self.assertEqual(len(installed), 1)
        self.assertEqual(sum("making the Python environment" in each for each in words), 1)
        self.assert_whole()

    def test_the_second_run_says_whom_it_waits_for(self):
        first = self.start_with_silent_index()
        name = first.run_directory.name  # while there is no other
        second = self.start_muster(["run", "run.yaml"])
        wait_until(lambda: b"which makes the same Python environment" in second.output(), 60)
        self.assertIn(f"waiting for run {name} (process {first.pid})", second.output().decode())
        second.send(signal.SIGINT)
        self.assert_code(second.wait(), 130)
        first.send(signal.SIGINT)
        self.assert_code(first.wait(), 130)

    def test_killed_makers_leave_nothing_that_is_used(self):
        """Every other round pip is killed, else the launcher."""
        for round_number in range(ROUNDS):
            with self.subTest(round=round_number):
                shutil.rmtree(self.cache, ignore_errors=True)
                self.write_config({"pip_packages": ["otherpack"]})
                muster = self.start_muster(["run", "run.yaml", "--run-id", f"k{round_number}"])
                wait_until(lambda: self.environment_directories() or
                           muster.process.poll() is not None, 60)
                time.sleep(random.uniform(0, 1.2))
                if round_number % 2:
                    for process in muster.processes():
                        if any("made-" in word for word in process.argv):
                            os.kill(process.pid, signal.SIGKILL)
                else:
                    muster.send(signal.SIGKILL)
                muster.process.wait(60)
                self.assert_nothing_left()
                made = self.plan()["python_environment"]["made"]
                result = self.run_muster(["run", "run.yaml"])
                self.assertEqual("making the Python environment" in result.stderr, not made)
                versions = self.report(result)["versions"]
                self.assertEqual((versions["tinypack"], versions["otherpack"]), ("1.2", "2.0"))
                self.assert_whole()

    # Conda.

    def fake_micromamba(self):
        """There is no conda here: this records what it was told and makes a virtual environment."""
        path = self.directory / "tools/micromamba"
        path.parent.mkdir()
        path.write_text(f"""#!/bin/sh
printf '%s\\n' "$@" > {self.directory}/conda.argv
for word; do
  [ "$before" = --file ] && cp "$word" {self.directory}/conda.yml
  [ "$before" = --prefix ] && prefix=$word
  before=$word
done
echo "Linking python-3.11"
exec {PYTHON} -m venv --without-pip --system-site-packages "$prefix"
""", encoding="utf-8")
        path.chmod(0o755)
        return path.parent

    def test_conda_packages_by_micromamba(self):
        tools = self.fake_micromamba()
        self.write_config({"conda_channels": ["conda-forge"], "pip_packages": ["tinypack"],
                           "conda_packages": ["python=3.11", "numpy>=1.20"]})
        path = {"PATH": f"{tools}:/usr/bin:/bin"}
        planned = self.plan(env=path)["python_environment"]
        self.assertEqual(planned["kind"], "conda")
        self.assertRegex(planned["key"], r"^conda-\w+$")
        result = self.run_muster(["run", "run.yaml"], env=path)
        seen = self.report(result)
        self.assertEqual(seen["conda_prefix"], planned["prefix"])
        self.assertEqual(seen["versions"]["tinypack"], "1.2")
        argv = (self.directory / "conda.argv").read_text(encoding="utf-8").split("\n")
        self.assertEqual(argv[:3], ["create", "--yes", "--prefix"])
        self.assertEqual((self.directory / "conda.yml").read_text(encoding="utf-8"),
                         'name: muster\nchannels:\n  - "conda-forge"\ndependencies:\n'
                         '  - "python=3.11"\n  - "numpy>=1.20"\n  - pip\n')
        self.assertIn("Linking python-3.11", self.log(result))
        self.assert_whole()

    def test_without_conda_one_error_says_what_to_do(self):
        self.write_config({"conda_packages": ["python=3.6", "tinypack=1", "cudatoolkit=10"],
                           "conda_channels": ["conda-forge"]})
        path = {"PATH": "/usr/bin:/bin"}
        result = self.run_muster(["run", "run.yaml"], env=path)
        self.assert_code(result, 69)
        self.assertEqual(result.stderr.count("error:"), 1)
        self.assertIn("neither micromamba nor mamba nor conda is on PATH", result.stderr)
        self.assertIn("environment.python.conda_packages_by: pip", result.stderr)
        result = self.run_muster(["run", "run.yaml", "--set",
                                  "environment.python.conda_packages_by=pip"], env=path)
        self.assertEqual(self.report(result)["versions"]["tinypack"], "1.2")
        self.assertRegex(result.stderr, r'"python=3.6" is asked for, and the environment is made '
                                        r"from /usr/bin/python3[.\d]*, which is 3")
        self.assertIn("cudatoolkit=10 is left out", result.stderr)

    # What the container has.

    def test_the_image_is_compared(self):
        (self.work_dir / "run.yaml").write_text(
            "command: 'true'\nenvironment: {image: azureml/base:1}\n", encoding="utf-8")
        image = {"MUSTER_IMAGE": "registry.example/azureml/base:1"}
        result = self.run_muster(["run", "run.yaml"], env=image)
        self.assert_code(result, 0)
        self.assertNotIn("warning", result.stderr)
        image = {"MUSTER_IMAGE": "registry.example/azureml/base:2"}
        result = self.run_muster(["run", "run.yaml"], env=image)
        self.assert_code(result, 0)
        self.assertEqual(result.stderr.count("warning"), 1)
        self.assertRegex(result.stderr, r"asks for the image azureml/base:1 .* the container is of "
                                        r"registry.example/azureml/base:2 \(MUSTER_IMAGE\)")
        planned = self.plan(env=image)["image"]
        self.assertEqual(planned["asked_for"], "azureml/base:1")
        self.assertEqual(planned["container"], "registry.example/azureml/base:2")

    def test_the_size_of_dev_shm_is_compared(self):
        config = self.work_dir / "run.yaml"
        for size, warnings in (("1k", 0), ("100000g", 1)):
            config.write_text(f"command: 'true'\nresources: {{shm_size: {size}}}\n",
                              encoding="utf-8")
            result = self.run_muster(["run", "run.yaml"])
            self.assert_code(result, 0)
            self.assertEqual(result.stderr.count("warning: shm_size is"), warnings, result)

    @needs_mpirun
    def test_an_mpi4py_of_another_mpi_is_told(self):
        write_wheel(self.wheels, "mpi4py", "9.0", files={
            "mpi4py/__init__.py": "class rc: pass\n",
            "mpi4py/MPI.py": "def Get_library_version():\n    return 'MPICH Version: 4.2'\n"})
        self.write_config({"pip_packages": ["mpi4py==9.0"]}, backend="mpi")
        for _ in range(2):
            result = self.run_muster(["run", "run.yaml"])
            self.assert_code(result, 0)
            self.assertIn("warning: mpi4py of the Python environment uses MPICH Version: 4.2, and "
                          "mpirun is Open MPI", result.stderr)

    def test_a_package_of_the_real_index(self):
        environment = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environment.update(PIP_TIMEOUT="5", PIP_DEFAULT_TIMEOUT="5", PIP_RETRIES="1")
        self.write_config({"pip_packages": ["iniconfig"]}, offline=False)
        result = self.run_muster(["run", "run.yaml"], env=environment, timeout=120)
        if result.code == 69 and re.search("No matching distribution|connection|timed out",
                                           result.stderr):
            self.skipTest("no package index can be reached")
        self.assertIn("iniconfig", self.report(result)["versions"])


if __name__ == "__main__":
    muster_test.main()
