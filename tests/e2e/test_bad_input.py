"""Each thing that can be wrong before or below a run: a clear message with a hint, the right exit
code, and nothing left behind."""

import json
import os
import shutil
import subprocess

import muster_test
from muster_test import (MPIRUN, MusterTest, PYTHON, flood_difference, needs_mpirun, needs_root,
                         program)

USAGE, CONFIG, RESOURCES, RUN_DIRECTORY, TIMEOUT = 64, 65, 69, 73, 75

# Runs muster with a small file system for the run directories, and leaves a copy of what was on it;
# the mount is in a namespace of its own and goes with the last process in it.
SMALL_DISK = """
mkdir -p "$SMALL_DISK" && mount -t tmpfs -o "$DISK" tmpfs "$SMALL_DISK" || exit 97
[ "$FILL" = 0 ] || head -c "$FILL" /dev/zero > "$SMALL_DISK/filler" 2> /dev/null
"$@"
code=$?
rm -f "$SMALL_DISK/filler"
cp -R "$SMALL_DISK" "$SMALL_DISK-copy"
exit $code
"""


class BadInputTest(MusterTest):
    def write(self, name, text):
        path = self.work_dir / name
        path.write_text(text, encoding="utf-8")
        return path

    def assert_refused(self, args, code, *words, hint=True, **keywords):
        """It ends with that code, says those words and a hint, and leaves nothing behind."""
        before = sorted(path.name for path in self.work_dir.iterdir())
        result = self.run_muster(args, **keywords)
        self.assert_code(result, code)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertIn("muster: error: ", result.stderr)
        if hint:
            self.assertIn("  hint: ", result.stderr)
        self.assertNotIn("internal", result.stderr)
        self.assert_nothing_left()
        self.assert_runtime_empty()
        self.assertIsNone(result.found_run_directory, result)
        self.assertEqual(sorted(path.name for path in self.work_dir.iterdir()), before)
        return result


class BadConfigs(BadInputTest):
    def test_a_missing_file(self):
        self.assert_refused(["run", "missing.yaml"], CONFIG, "missing.yaml",
                            "No such file or directory")

    def test_unreadable_yaml(self):
        self.write("run.yaml", "command: [\nprocess_count_per_node: 2\n")
        self.assert_refused(["run", "run.yaml"], CONFIG, "cannot read run.yaml as YAML",
                            "run.yaml:")

    def test_bytes_that_are_no_text(self):
        (self.work_dir / "run.yaml").write_bytes(bytes(range(256)) * 40)
        self.assert_refused(["run", "run.yaml"], CONFIG, "run.yaml", hint=False)

    def test_an_empty_file(self):
        self.write("run.yaml", "")
        self.assert_refused(["run", "run.yaml"], CONFIG, "run.yaml is empty")

    def test_a_directory_as_config(self):
        (self.work_dir / "conf").mkdir()
        self.assert_refused(["run", "conf"], CONFIG, "conf", "Is a directory", "name a file")

    @needs_root
    def test_a_config_that_may_not_be_read(self):
        self.directory.chmod(0o755)
        self.write("run.yaml", "command: 'true'\n").chmod(0)
        if subprocess.run(["setpriv", "--reuid=65534", "test", "-x", muster_test.MUSTER],
                          check=False).returncode != 0:
            self.skipTest("another user cannot reach the programs")
        self.assert_refused(["run", "run.yaml"], CONFIG, "run.yaml", "Permission denied",
                            prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
                            hint=False)

    def test_a_directory_as_entry_script(self):
        (self.work_dir / "src/train").mkdir(parents=True)
        self.write("run.yaml", "source_directory: src\nentry_script: train\n")
        self.assert_refused(["run", "run.yaml"], CONFIG, "entry_script", "is a directory",
                            "run.yaml:2:15", "^")

    def test_a_missing_entry_script_suggests_its_neighbour(self):
        (self.work_dir / "src").mkdir()
        self.write("src/train.py", "")
        self.write("run.yaml", "source_directory: src\nentry_script: trian.py\n")
        self.assert_refused(["run", "run.yaml"], CONFIG, "does not exist",
                            'did you mean "train.py"?')

    def test_process_counts_that_are_none(self):
        for text, words in {"0": "0 is less than 1", "-3": "-3 is less than 1",
                            "1e3": '"1e3" is not a whole number',
                            "four": '"four" is not a whole number'}.items():
            self.write("run.yaml", "command: 'true'\ndistributed_backend: direct\n"
                                   f"process_count_per_node: {text}\n")
            with self.subTest(text):
                self.assert_refused(["run", "run.yaml"], CONFIG, "process_count_per_node", words,
                                    "run.yaml:3:25", "or auto")
                self.assert_refused(["run", "-n", text, "--", "true"], CONFIG, "-n", words)

    def test_two_processes_and_no_backend(self):
        self.write("run.yaml", "command: 'true'\nprocess_count_per_node: 2\n")
        self.assert_refused(["run", "run.yaml"], CONFIG,
                            "2 processes need a distributed_backend", "mpi", "direct")

    def test_all_errors_at_once_and_a_suggestion_for_a_key(self):
        self.write("run.yaml", "comand: 'true'\nprocess_count_per_node: -3\n")
        result = self.assert_refused(["run", "run.yaml"], CONFIG, 'did you mean "command"?',
                                     "-3 is less than 1")
        self.assertGreaterEqual(result.stderr.count("muster: error: "), 2)


class BadCommandLines(BadInputTest):
    def test_a_command_without_its_dashes(self):
        self.assert_refused(["run", "-n", "2", "no-such-program", "train.py"], USAGE,
                            "-- no-such-program train.py")

    def test_a_script_that_is_no_config_by_its_name(self):
        self.write("train.sh", "echo hello\n")
        self.assert_refused(["run", "train.sh"], CONFIG, "train.sh")

    def test_an_unknown_option_has_a_suggestion(self):
        self.assert_refused(["run", "--consol", "all", "--", "true"], USAGE,
                            "unknown option --consol", 'did you mean "--console"?')

    def test_an_unknown_command_has_a_suggestion(self):
        self.assert_refused(["rnu", "run.yaml"], USAGE, 'unknown command "rnu"')
        self.assert_refused(["validat", "run.yaml"], USAGE, 'did you mean "validate"?')

    def test_no_command_at_all(self):
        self.assert_refused([], USAGE, "no command")

    def test_nothing_to_run(self):
        self.assert_refused(["run"], USAGE, "nothing to run")
        self.assert_refused(["run", "-n", "2", "--"], USAGE, "nothing to run")

    def test_values_that_no_option_takes(self):
        self.assert_refused(["run", "--console", "al", "--", "true"], USAGE, "all")
        self.assert_refused(["run", "--backend", "mpii", "--", "true"], CONFIG, "mpi")
        self.assert_refused(["run", "--set", "limits", "--", "true"], USAGE, "key.path=value")
        self.assert_refused(["run", "--run-id", "../escape", "--", "true"], USAGE,
                            "cannot name a directory")


class BadRunDirectories(BadInputTest):
    def test_a_run_id_that_is_taken(self):
        args = ["run", "--run-id", "first", "--", "echo", "mine"]
        self.assert_code(self.run_muster(args), 0)
        self.assert_refused(args, RUN_DIRECTORY, "first", "File exists", "another --run-id")
        log = self.runs_dir / "first/ranks/00000/attempt-0/stdout.log"
        self.assertEqual(log.read_bytes(), b"mine\n")

    def test_a_runs_dir_that_is_a_file(self):
        self.write("file", "")
        self.assert_refused(["run", "--runs-dir", "file", "--", "true"], RUN_DIRECTORY, "file")

    def test_a_runs_dir_below_nothing_that_can_be_made(self):
        self.assert_refused(["run", "--runs-dir", "/proc/runs", "--", "true"], RUN_DIRECTORY,
                            "/proc/runs", "--runs-dir")

    @needs_root
    def test_a_runs_dir_that_is_not_writable(self):
        self.directory.chmod(0o755)
        self.runs_dir.mkdir(mode=0o755)
        os.chown(self.runtime_dir, 65534, 65534)
        if subprocess.run(["setpriv", "--reuid=65534", "test", "-x", muster_test.MUSTER],
                          check=False).returncode != 0:
            self.skipTest("another user cannot reach the programs")
        self.assert_refused(["run", "--", "true"], RUN_DIRECTORY, "Permission denied", "--runs-dir",
                            env={"HOME": "/nonexistent"},
                            prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])

    def test_a_run_directory_that_goes_away_is_no_success(self):
        result = self.run_muster(["run", "--run-id", "gone", "--", "sh", "-c",
                                  f"rm -r '{self.runs_dir}/gone'"])
        self.assert_code(result, 73)
        self.assertIn("could not be written any more", result.stderr)
        self.assertNotIn("succeeded", result.stderr)


@needs_root
class FullDisks(BadInputTest):
    def setUp(self):
        super().setUp()
        mount = ["mount", "-t", "tmpfs", "tmpfs", str(self.work_dir)]
        if subprocess.run(["unshare", "--mount", *mount], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no file system can be mounted")

    def on_small_disk(self, options, fill):
        self.runs_dir = self.directory / "disk-copy"  # where the harness looks afterwards
        disk = self.directory / "disk"
        return {"prefix": ["unshare", "--mount", "sh", "-c", SMALL_DISK, "sh"],
                "env": {"SMALL_DISK": disk, "DISK": options, "FILL": fill,
                        "MUSTER_RUNS_DIR": disk}}

    def test_full_at_the_start(self):
        for backend in ["direct"] + (["mpi"] if MPIRUN else []):
            with self.subTest(backend):
                around = self.on_small_disk("size=1m", "2m")
                self.assert_refused(["run", "-n", "2", "--backend", backend, "--", "true"],
                                    RUN_DIRECTORY, "No space left on device", **around)
                self.assertEqual(list(self.runs_dir.iterdir()), [])
                shutil.rmtree(self.runs_dir)

    def assert_starts_or_is_refused(self, options, fill="0"):
        """True when the run came about.  A run directory that is left says how it ended."""
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "true"],
                                 **self.on_small_disk(options, fill))
        self.assertIn(result.code, (0, RUN_DIRECTORY), result)
        if result.code != 0:
            self.assertIn("No space left on device", result.stderr)
            self.assertIn("  hint: ", result.stderr)
        if result.found_run_directory is not None:
            self.assertEqual(result.run_json["exit_code"], result.code)
        self.assert_nothing_left()
        self.assert_runtime_empty()
        shutil.rmtree(self.runs_dir)
        return result.code == 0

    def test_almost_full_at_the_start(self):
        for free in (4, 64, 200, 280, 300):  # KiB: none of the first files may end a run oddly
            with self.subTest(free=free):
                self.assert_starts_or_is_refused("size=1m", f"{1024 - free}K")

    def test_each_file_of_the_start_may_be_the_one_that_does_not_fit(self):
        # One more inode each time, until there is one for every file.
        for count in range(3, 80):
            with self.subTest(inodes=count):
                if self.assert_starts_or_is_refused(f"size=4m,nr_inodes={count}"):
                    return
        self.fail("80 files do not suffice for a run of two ranks")

    def test_full_during_the_run(self):
        for backend in ["direct"] + (["mpi"] if MPIRUN else []):
            with self.subTest(backend):
                around = self.on_small_disk("size=3m", "16")
                result = self.run_muster(
                    ["run", "-n", "2", "--backend", backend, "--console", "none", "--",
                     program("flood"), "--bytes", "400M"], **around)
                self.assert_code(result, RUN_DIRECTORY)
                self.assertIn("No space left on device", result.stderr)
                self.assertIn("missing: ", result.stderr)
                self.assertIn("  hint: make room there", result.stderr)
                run = result.run_json
                self.assertEqual((run["status"], run["exit_code"], run["origin"]),
                                 ("failed", RUN_DIRECTORY, "muster"))
                self.assertEqual(run["first_failure"]["how"], "run_directory")
                # The disk is no reason to end the ranks.
                self.assertEqual([rank["exit_code"] for rank in run["attempts"][-1]["ranks"]],
                                 [0, 0])
                gaps = {gap["stream"]: gap for gap in run["gaps"]}
                self.assertGreater(len(gaps), 0)
                for rank in range(2):
                    name = f"ranks/{rank:05}/attempt-0/stdout.log"
                    size = result.rank_file(rank).stat().st_size
                    self.assertIsNone(flood_difference(result.rank_file(rank), rank, size))
                    self.assertEqual(gaps[name]["offset"], size)
                    self.assertEqual(size + gaps[name]["length"], 400 << 20)
                    self.assertEqual(gaps[name]["reason"], "disk_full")
                self.assertIn('"disk_full"', (result.run_directory / "events.jsonl").read_text())
                verified = self.run_muster(["verify", "--json", str(result.run_directory)])
                self.assert_code(verified, 0)
                checked = {row["path"]: row for row in json.loads(verified.stdout)["streams"]}
                for name, gap in gaps.items():
                    self.assertEqual(checked[name]["missing"], gap["length"])
                    self.assertEqual(checked[name]["length"], 400 << 20)
                self.assert_nothing_left()
                self.assert_runtime_empty()
                shutil.rmtree(self.runs_dir)


class BadMpiruns(BadInputTest):
    MPI_RUN = ["run", "-n", "2", "--backend", "mpi", "--", "true"]

    def path_with_mpirun(self, script):
        """A PATH with what shells need, and this mpirun only."""
        directory = self.directory / "path"
        directory.mkdir(exist_ok=True)
        for name in ("sh", "true", "sleep", "echo", "env"):
            if not (directory / name).exists():
                (directory / name).symlink_to(shutil.which(name))
        if script is not None:
            (directory / "mpirun").write_text(script, encoding="utf-8")
            (directory / "mpirun").chmod(0o755)
        return {"PATH": str(directory)}

    def test_no_mpirun_on_path(self):
        self.assert_refused(self.MPI_RUN, RESOURCES, "no mpirun on PATH", "install Open MPI",
                            "--backend direct", env=self.path_with_mpirun(None))

    def test_no_mpirun_and_nobody_chose_goes_direct_and_says_so(self):
        result = self.run_muster(["run", "-n", "2", "--", "true"], env=self.path_with_mpirun(None))
        self.assert_code(result, 0)
        self.assertIn("direct, because no Open MPI was found", result.stderr.splitlines()[0])

    def test_an_mpirun_that_is_not_open_mpi(self):
        mpich = ("#!/bin/sh\necho 'HYDRA build details:'\n"
                 "echo '    Version:                                 4.0.2'\n")
        self.assert_refused(self.MPI_RUN, RESOURCES, "mpirun is MPICH 4.0.2, and Muster starts",
                            "Open MPI only", "install Open MPI", "--backend direct",
                            env=self.path_with_mpirun(mpich))
        result = self.run_muster(["run", "-n", "2", "--", "true"], env=self.path_with_mpirun(mpich))
        self.assert_code(result, 0)
        self.assertRegex(result.stderr.splitlines()[0], "direct, because .*mpirun is MPICH 4.0.2")

    def test_an_open_mpi_that_is_not_supported(self):
        script = "#!/bin/sh\necho 'mpirun (Open MPI) 3.1.6'\n"
        self.assert_refused(self.MPI_RUN, RESOURCES, "Open MPI 3.1.6 is not supported",
                            env=self.path_with_mpirun(script))

    def test_an_mpirun_that_cannot_even_tell_its_version(self):
        script = "#!/bin/sh\necho 'libmpi.so.40: cannot open shared object file' >&2\nexit 127\n"
        self.assert_refused(self.MPI_RUN, RESOURCES, "--version", "127", "libmpi.so.40",
                            env=self.path_with_mpirun(script))

    def test_an_mpirun_that_cannot_be_executed(self):
        environment = self.path_with_mpirun("#!/nowhere/sh\n")
        self.assert_refused(self.MPI_RUN, RESOURCES, "mpirun", "install Open MPI", env=environment)

    def test_an_mpirun_that_fails_at_once(self):
        script = ("#!/bin/sh\n[ \"$1\" = --version ] && echo 'mpirun (Open MPI) 4.1.4' && exit 0\n"
                  "echo 'ORTE does not know how to route a message' >&2\nexit 213\n")
        result = self.run_muster(self.MPI_RUN, env=self.path_with_mpirun(script))
        self.assert_code(result, TIMEOUT)  # DESIGN 7.7: the start did not come about
        self.assertIn("mpirun exited with 213 before all ranks had started", result.stderr)
        self.assertIn("ORTE does not know how to route a message", result.stderr)
        self.assertIn("  hint: ", result.stderr)
        run = result.run_json
        self.assertEqual((run["status"], run["exit_code"], run["origin"]),
                         ("failed", TIMEOUT, "muster"))
        self.assert_nothing_left()
        self.assert_runtime_empty()

    def test_an_mpirun_that_ends_with_0_without_starting_anything(self):
        script = "#!/bin/sh\n[ \"$1\" = --version ] && echo 'mpirun (Open MPI) 4.1.4'\nexit 0\n"
        result = self.run_muster(self.MPI_RUN, env=self.path_with_mpirun(script))
        self.assert_code(result, TIMEOUT)
        self.assertEqual(result.run_json["status"], "failed")
        self.assert_nothing_left()
        self.assert_runtime_empty()

    @needs_mpirun
    def test_an_agent_that_mpirun_cannot_start(self):
        directory = self.directory / "bin"
        directory.mkdir()
        shutil.copy2(muster_test.MUSTER, directory / "muster")
        result = self.run_muster(["run", "--", "true"], muster=directory / "muster")
        self.assert_code(result, 70)
        self.assertIn("no muster-agent beside", result.stderr)
        self.assertIn("hint: ", result.stderr)
        self.assertEqual(self.run_directories(), [])


class BadPrograms(BadInputTest):
    def test_a_program_that_is_not_there_and_one_that_is_no_program(self):
        self.write("data", "no program\n")
        for backend in ["direct"] + (["mpi"] if MPIRUN else []):
            for command, code in {"no-such-program": 127, "./data": 126, ".": 126}.items():
                with self.subTest(backend=backend, command=command):
                    result = self.run_muster(["run", "-n", "2", "--backend", backend, "--",
                                              command])
                    self.assert_code(result, code)
                    self.assertIn("could not start its program: executing", result.stderr)
                    self.assert_nothing_left()
                    self.assert_runtime_empty()

    def test_a_script_that_fails_shows_its_last_words(self):
        self.write("train.py", "raise ValueError('bad data in row 7')\n")
        result = self.run_muster(["run", "--", PYTHON, "train.py"])
        self.assert_code(result, 1)
        self.assertIn("  | ValueError: bad data in row 7", result.stderr)


if __name__ == "__main__":
    muster_test.main()
