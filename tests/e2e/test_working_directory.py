"""With source_directory the ranks work in a copy and the source stays as it was; without it they
work in place.  Either way ./outputs and ./logs end in the run directory."""

import os
import stat
import subprocess
import time
from pathlib import Path

import muster_test
from muster_test import MPIRUN, MusterTest, needs_root

BACKENDS = ["direct"] + (["mpi"] if MPIRUN else [])

# What each rank does in its working directory; 0 when all went as it should.
WORK = r"""
set -e
mkdir -p outputs/deep logs
echo "model of $RANK" > outputs/deep/model-$RANK.bin
echo "log of $RANK" > logs/rank-$RANK.log
echo scratch > scratch-$RANK.txt
pwd -P
"""


def tree(directory):
    """{path: what is there} of everything below, modes and links included."""
    found = {}
    for path in sorted(Path(directory).rglob("*")):
        info = path.lstat()
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("directory",)
        else:
            found[name] = (oct(stat.S_IMODE(info.st_mode)), info.st_mtime_ns, path.read_bytes())
    return found


class WorkingDirectoryTest(MusterTest):
    def write(self, name, text, mode=0o644):
        path = self.work_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def write_config(self, name, command, *lines):
        self.write("command.sh", command)
        text = [f"command: sh '{self.work_dir}/command.sh'", *lines]
        return self.write(name, "\n".join(text) + "\n")

    def assert_collected(self, result, ranks=2):
        for rank in range(ranks):
            model = result.run_directory / f"outputs/deep/model-{rank}.bin"
            self.assertEqual(model.read_text(encoding="utf-8"), f"model of {rank}\n")
            log = result.run_directory / f"logs/rank-{rank}.log"
            self.assertEqual(log.read_text(encoding="utf-8"), f"log of {rank}\n")


class Copies(WorkingDirectoryTest):
    def make_source(self):
        self.write("src/train.py", "print('hello')\n")
        self.write("src/tool", "#!/bin/sh\necho tool\n", 0o755)
        self.write("src/secret", "mine\n", 0o600)
        self.write("src/lib/deep/data.txt", "data\n")
        (self.work_dir / "src/empty").mkdir()
        (self.work_dir / "src/link").symlink_to("lib/deep/data.txt")
        (self.work_dir / "src/dangling").symlink_to("nowhere/at/all")
        (self.work_dir / "src/folder").symlink_to("lib")
        os.mkfifo(self.work_dir / "src/fifo")  # no data, and nothing may wait for its writer
        os.utime(self.work_dir / "src/train.py", ns=(1_600_000_000_000_000_000,) * 2)
        return self.work_dir / "src"

    def run_in_copy(self, command, backend="direct", cwd=None, **keywords):
        config = self.write_config("run.yaml", command, "source_directory: src",
                                   "process_count_per_node: 2", f"distributed_backend: {backend}")
        return self.run_muster(["run", config], cwd=cwd, **keywords)

    def test_ranks_work_in_a_copy_and_the_source_stays(self):
        source = self.make_source()
        os.remove(source / "fifo")
        before = tree(source)
        for backend in BACKENDS:
            with self.subTest(backend):
                result = self.run_in_copy(WORK, backend)
                self.assert_code(result, 0)
                self.assert_collected(result)
                self.assertEqual(tree(source), before)
                for rank in range(2):
                    cwd = result.rank_bytes(rank).decode().strip()
                    self.assertNotEqual(cwd, str(source))
                    self.assertTrue(cwd.startswith(str(result.run_directory)), cwd)
                    self.assertFalse(os.path.exists(cwd))  # the copy is of no use any more
                self.assertRegex(result.stderr, r"results: .*/outputs \(2 files")

    def test_outputs_that_is_a_link_in_the_source_stays_one(self):
        (self.work_dir / "src").mkdir()
        (self.work_dir / "shared").mkdir()
        (self.work_dir / "src/outputs").symlink_to(self.work_dir / "shared")
        result = self.run_in_copy("echo $RANK > outputs/$RANK")
        self.assert_code(result, 0)
        self.assertEqual(sorted(path.name for path in (self.work_dir / "shared").iterdir()),
                         ["0", "1"])

    def test_the_copy_is_true(self):
        source = self.make_source()
        result = self.run_in_copy(r"""
            set -e
            [ "$(cat lib/deep/data.txt)" = data ] && [ -d empty ] && [ "$(./tool)" = tool ]
            [ "$(readlink link)" = lib/deep/data.txt ] && [ "$(cat link)" = data ]
            [ "$(readlink dangling)" = nowhere/at/all ] && [ "$(readlink folder)" = lib ]
            [ "$(stat -c %a secret)" = 600 ] && [ "$(stat -c %a tool)" = 755 ]
            [ "$(stat -c %Y train.py)" = 1600000000 ]
            [ ! -e fifo ] && [ -d outputs ] && [ -d logs ]
            """)
        self.assert_code(result, 0)
        self.assertFalse((source / "outputs").exists())

    def test_an_entry_script_runs_in_the_copy(self):
        self.write("src/train.py", "import os, sys\nopen('outputs/a', 'w').write(sys.argv[1])\n"
                                   "open('trace', 'w')\nprint(os.path.realpath(sys.argv[0]))\n")
        self.write("run.yaml", "source_directory: src\nentry_script: train.py\n"
                               "script_params: {--rate: 1.0}\n")
        result = self.run_muster(["run", "work/run.yaml"], cwd=self.directory)
        self.assert_code(result, 0)
        self.assertEqual((result.run_directory / "outputs/a").read_bytes(), b"--rate")
        self.assertEqual(sorted(path.name for path in (self.work_dir / "src").iterdir()),
                         ["train.py"])

    def test_runs_inside_the_source_are_not_copied(self):
        self.make_source()
        self.runs_dir = self.work_dir / "src/runs"
        for _ in range(2):
            result = self.run_in_copy("[ ! -e runs ] && echo fine > outputs/fine",
                                      env={"MUSTER_RUNS_DIR": self.runs_dir})
            self.assert_code(result, 0)
            self.assertEqual((result.run_directory / "outputs/fine").read_bytes(), b"fine\n")

    def test_the_source_may_be_the_directory_of_the_config_and_of_the_runs(self):
        self.write("src/run.yaml", "source_directory: .\ncommand: ls -a > outputs/list\n")
        result = self.run_muster(["run", "run.yaml"], cwd=self.work_dir / "src",
                                 env={"MUSTER_RUNS_DIR": None})
        self.assert_code(result, 0)
        [run] = (self.work_dir / "src/runs").iterdir()
        names = (run / "outputs/list").read_text(encoding="utf-8").split()
        self.assertEqual(names, [".", "..", "logs", "outputs", "run.yaml"])

    def test_outputs_are_collected_when_the_run_fails(self):
        self.make_source()
        result = self.run_in_copy("mkdir -p outputs; echo kept > outputs/kept-$RANK; "
                                  "[ $RANK = 1 ] && exit 9; exec sleep 600")
        self.assert_code(result, 9)
        self.assertEqual((result.run_directory / "outputs/kept-1").read_bytes(), b"kept\n")

    def test_outputs_of_the_source_come_along(self):
        # They are in the copy, and all of ./outputs is moved.
        self.make_source()
        self.write("src/outputs/start.bin", "first weights\n")
        result = self.run_in_copy("cat outputs/start.bin; echo more > outputs/more-$RANK")
        self.assert_code(result, 0)
        names = sorted(path.name for path in (result.run_directory / "outputs").iterdir())
        self.assertEqual(names, ["more-0", "more-1", "start.bin"])

    def test_a_source_that_is_not_there(self):
        result = self.run_in_copy("true")
        self.assert_code(result, 65)
        self.assertIn("source_directory", result.stderr)
        self.assertIn("does not exist", result.stderr)
        self.assertEqual(self.run_directories(), [])

    @needs_root
    def test_a_file_that_cannot_be_read_ends_the_start_with_74(self):
        source = self.make_source()
        self.directory.chmod(0o755)
        if subprocess.run(["setpriv", "--reuid=65534", "test", "-x", muster_test.MUSTER],
                          check=False).returncode != 0:
            self.skipTest("another user cannot reach the programs")
        self.runs_dir.mkdir()
        for path in (self.runs_dir, self.runtime_dir):
            os.chown(path, 65534, 65534)
        result = self.run_in_copy("true", env={"HOME": "/nonexistent"}, prefix=[
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
        self.assert_code(result, 74)
        self.assertIn("copying source_directory", result.stderr)
        self.assertIn(str(source / "secret"), result.stderr)
        self.assertIn("Permission denied", result.stderr)
        self.assertEqual(result.run_json["status"], "failed")
        self.assertEqual(result.run_json["origin"], "muster")
        self.assertFalse((result.run_directory / "scratch").exists())
        self.assert_nothing_left()
        self.assert_runtime_empty()


class InPlace(WorkingDirectoryTest):
    def test_new_files_are_taken_and_the_users_stay(self):
        old = self.write("outputs/old.bin", "of the user\n")
        touched = self.write("outputs/deep/model-0.bin", "overwritten by the run\n")
        for path in (old, touched):
            os.utime(path, (time.time() - 100,) * 2)
        for backend in BACKENDS:
            with self.subTest(backend):
                result = self.run_muster(["run", "-n", "2", "--backend", backend, "--", "sh", "-c",
                                          WORK])
                self.assert_code(result, 0)
                self.assert_collected(result)
                self.assertFalse((result.run_directory / "outputs/old.bin").exists())
                self.assertEqual(result.rank_bytes(1).decode().strip(),
                                 os.path.realpath(self.work_dir))
                # In place nothing is taken away.
                self.assertEqual(old.read_text(encoding="utf-8"), "of the user\n")
                self.assertEqual(touched.read_text(encoding="utf-8"), "model of 0\n")
                os.utime(touched, (time.time() - 100,) * 2)

    def test_files_of_an_earlier_run_are_not_taken_again(self):
        first = self.run_muster(["run", "--", "sh", "-c", "mkdir -p outputs; echo 1 > outputs/one"])
        second = self.run_muster(["run", "--", "sh", "-c", "echo 2 > outputs/two"])
        for result, name in ((first, "one"), (second, "two")):
            self.assert_code(result, 0)
            self.assertEqual([path.name for path in (result.run_directory / "outputs").iterdir()],
                             [name])

    def test_a_run_without_outputs_has_empty_folders(self):
        result = self.run_muster(["run", "--", "true"])
        self.assert_code(result, 0)
        for name in ("outputs", "logs"):
            self.assertEqual(list((result.run_directory / name).iterdir()), [])
        self.assertEqual(list(self.work_dir.iterdir()), [])  # and none were made in place
        self.assertNotIn("results:", result.stderr)

    def test_runs_below_outputs_do_not_collect_themselves(self):
        self.runs_dir = self.work_dir / "outputs/runs"
        result = self.run_muster(["run", "--", "sh", "-c", "echo new > outputs/new"],
                                 env={"MUSTER_RUNS_DIR": self.runs_dir})
        self.assert_code(result, 0)
        self.assertEqual([path.name for path in (result.run_directory / "outputs").iterdir()],
                         ["new"])

    @needs_root
    def test_outputs_that_cannot_be_taken_are_told_and_stay(self):
        # A full run directory: the run succeeded, its results stay where they are.
        disk = self.directory / "disk"
        disk.mkdir()
        script = ('mount -t tmpfs -o size=1m tmpfs "$DISK" || exit 77\n'
                  '"$@"; code=$?; cp -R "$DISK" "$DISK-copy"; exit $code')
        self.runs_dir = self.directory / "disk-copy"
        result = self.run_muster(
            ["run", "--", "sh", "-c", "mkdir outputs; head -c 3000000 /dev/zero > outputs/model"],
            env={"DISK": disk, "MUSTER_RUNS_DIR": disk},
            prefix=["unshare", "--mount", "sh", "-c", script, "sh"])
        if result.code == 77 or result.stderr.startswith("unshare:"):
            self.skipTest("no file system can be mounted")
        self.assert_code(result, 73)
        self.assertIn(str(self.work_dir / "outputs"), result.stderr)
        self.assertIn("No space left on device", result.stderr)
        self.assertIn("not complete", result.stderr)
        self.assertTrue(any("not complete" in warning for warning in result.run_json["warnings"]))
        self.assertEqual((self.work_dir / "outputs/model").stat().st_size, 3_000_000)


if __name__ == "__main__":
    muster_test.main()
