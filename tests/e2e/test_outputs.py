"""./outputs and ./logs are in the run directory while the run goes on, whole, and `muster files` and
`muster download` show and copy them."""

import json
import os
import pty
import shutil
import signal
import subprocess
import tempfile
import time
import unittest.mock
from pathlib import Path

import muster_test
from muster_test import MusterTest, needs_root, wait_until

# Waits for the file `go`, so that a test decides when a rank goes on.
WAIT = "while [ ! -e \"$GO\" ]; do sleep 0.02; done; "

LONG = 60.0  # the machine may be busy with other tests


class OutputsTest(MusterTest):
    def setUp(self):
        super().setUp()
        self.go = self.directory / "go"

    def start(self, command, *options, **keywords):
        environment = {"GO": self.go, **keywords.pop("env", {})}
        return self.start_muster(["run", *options, "--", "sh", "-c", command], env=environment,
                                 **keywords)

    def start_in_copy(self, command, *lines):
        source = self.work_dir / "src"
        source.mkdir()
        script = self.work_dir / "command.sh"
        script.write_text(command, encoding="utf-8")
        config = self.work_dir / "run.yaml"
        config.write_text("\n".join(["source_directory: src", f"command: sh '{script}'", *lines])
                          + "\n", encoding="utf-8")
        return self.start_muster(["run", config], env={"GO": self.go})

    def wait_for(self, running, path, text=None):
        """The stored file, once it is there (with that text)."""
        def look():
            if running.process.poll() is not None:
                raise AssertionError(f"the run ended: {running.output()[-3000:]!r}")
            if running.run_directory is None:
                return None
            stored = running.run_directory / path
            if not stored.is_file() or (text is not None and stored.read_text() != text):
                return None
            return stored
        return wait_until(look, LONG, f"{path} in the run directory")

    def files(self, run_directory, *words):
        shown = self.run_muster(["files", run_directory, "--json", *words])
        self.assert_code(shown, 0)
        return {file["path"]: file for file in json.loads(shown.stdout)["files"]}

    def finish(self, running):
        self.go.touch()
        result = running.wait(LONG)
        self.assert_code(result, 0)
        return result


class Live(OutputsTest):
    def test_files_appear_while_the_run_goes_on_and_grow_in_place(self):
        running = self.start(
            "mkdir -p outputs/deep logs; echo weights > outputs/deep/model.bin; "
            "echo 'step 1' > logs/train.log; " + WAIT + "echo 'step 2' >> logs/train.log; "
            "rm -f \"$GO\"; " + WAIT + "true")
        self.wait_for(running, "outputs/deep/model.bin", "weights\n")
        log = self.wait_for(running, "logs/train.log", "step 1\n")
        inode = log.stat().st_ino
        self.go.touch()
        self.wait_for(running, "logs/train.log", "step 1\nstep 2\n")
        self.assertEqual(log.stat().st_ino, inode)

        files = self.files(running.run_directory)
        self.assertEqual(files["outputs/deep/model.bin"]["state"], "stored")
        self.assertEqual(files["logs/train.log"]["state"], "growing")
        self.assertGreaterEqual(files["outputs/deep/model.bin"]["stored_seconds_ago"], 0)
        copied = self.run_muster(["download", running.run_directory, "deep/model.bin", "-"])
        self.assertEqual(copied.stdout, "weights\n")

        result = self.finish(running)
        self.assertRegex(result.stderr, r"results: .*/outputs \(1 file,")
        files = self.files(result.run_directory)
        self.assertEqual(files["logs/train.log"]["state"], "stored")
        self.assertEqual(files["logs/train.log"]["size"], 14)

    def test_in_a_copy_of_the_source_too(self):
        running = self.start_in_copy("echo 1 > outputs/early; " + WAIT + "echo 2 > outputs/late; "
                                     "mkdir outputs/empty")
        early = self.wait_for(running, "outputs/early", "1\n")
        inode = early.stat().st_ino
        result = self.finish(running)
        self.assertEqual(early.stat().st_ino, inode)
        self.assertEqual((result.run_directory / "outputs/late").read_text(), "2\n")
        self.assertTrue((result.run_directory / "outputs/empty").is_dir())
        self.assertFalse((result.run_directory / "scratch").exists())
        self.assertEqual(set(self.files(result.run_directory)), {"outputs/early", "outputs/late"})

    def test_only_at_the_end_when_the_config_says_so(self):
        running = self.start_in_copy("echo 1 > outputs/early; echo there > ready; " + WAIT,
                                     "results: {live: false}")
        wait_until(lambda: running.run_directory and
                   list(running.run_directory.glob("scratch/*/ready")), LONG)
        time.sleep(2.5)  # longer than a look and settling together take
        self.assertFalse((running.run_directory / "outputs/early").exists())
        result = self.finish(running)
        self.assertEqual((result.run_directory / "outputs/early").read_text(), "1\n")

    def test_what_cannot_be_stored_is_said(self):
        running = self.start(
            "mkdir -p outputs/__pycache__; mkfifo outputs/pipe; ln -s /etc/passwd outputs/evil; "
            "echo x > outputs/__pycache__/x.pyc; echo '*.part' > outputs/.musterignore; "
            "echo x > outputs/a.part; echo x > outputs/good; " + WAIT)
        self.wait_for(running, "outputs/good")
        result = self.finish(running)
        stored = sorted(str(path.relative_to(result.run_directory / "outputs"))
                        for path in (result.run_directory / "outputs").rglob("*")
                        if not path.is_dir())
        self.assertEqual(stored, ["__pycache__/x.pyc", "good"])
        files = self.files(result.run_directory)
        self.assertEqual(files["outputs/pipe"]["why"], "it is a FIFO")
        self.assertEqual(files["outputs/evil"]["state"], "refused")
        self.assertIn("2 entries are not stored", result.stderr)
        events = (result.run_directory / "events.jsonl").read_text()
        self.assertIn("output_refused", events)

    def test_a_deleted_checkpoint_is_kept_and_marked(self):
        running = self.start("mkdir outputs; echo 1 > outputs/ckpt-1; " + WAIT +
                             "rm outputs/ckpt-1; echo 2 > outputs/ckpt-2; rm \"$GO\"; " + WAIT)
        self.wait_for(running, "outputs/ckpt-1")
        self.go.touch()
        self.wait_for(running, "outputs/ckpt-2")
        result = self.finish(running)
        files = self.files(result.run_directory)
        self.assertEqual(files["outputs/ckpt-1"]["state"], "gone")
        self.assertEqual((result.run_directory / "outputs/ckpt-1").read_text(), "1\n")

    def test_a_named_output_that_stays_empty_is_said_and_one_that_does_not_is_listed(self):
        config = self.work_dir / "run.yaml"
        config.write_text(
            "command: 'echo x > \"$AZURE_ML_OUTPUT_full\"/weights'\nin_place: true\n"
            "source_directory: .\noutputs: {full: {}, hollow: {}}\n", encoding="utf-8")
        result = self.run_muster(["run", config])
        self.assert_code(result, 0)
        self.assertIn("output hollow is empty: nothing was written to", result.stderr)
        self.assertNotIn("output full is empty", result.stderr)
        self.assertEqual(self.files(result.run_directory)["outputs/full/weights"]["state"],
                         "stored")

    def test_runs_in_one_directory_name_each_other(self):
        """The short one is over before the long one looks at anything."""
        running = self.start(WAIT + "mkdir -p outputs; echo long > outputs/long")
        def has_started():
            events = running.run_directory and running.run_directory / "events.jsonl"
            return events and events.exists() and "all_ranks_started" in events.read_text()
        wait_until(has_started, LONG)
        long = running.run_directory
        result = self.run_muster(["run", "--", "sh", "-c", "mkdir outputs; echo > outputs/short"])
        self.assert_code(result, 0)
        [short] = [path for path in self.runs_dir.iterdir() if path.name != long.name]
        self.assertIn(f"another run works in {self.work_dir}", result.stderr)
        self.assertIn(str(long), result.stderr)
        self.assertIn(str(short), self.finish(running).stderr)
        record = json.loads((long / "run.json").read_text())
        self.assertIn(str(short), " ".join(record["warnings"]))
        # One that is alone has nothing to say.
        self.assertEqual(set(self.files(short)), {"outputs/short"})
        alone = self.run_muster(["run", "--", "sh", "-c", "echo > outputs/alone"])
        self.assertNotIn("another run", alone.stderr)

    def test_a_large_file_that_is_moved_has_a_checksum(self):
        running = self.start_in_copy(
            "head -c 1000000 /dev/urandom > outputs/large; truncate -s 80M outputs/large; "
            "ln outputs/large outputs/second", "results: {live: false}")
        result = running.wait(LONG)
        self.assert_code(result, 0)
        files = self.files(result.run_directory)
        self.assertEqual(len(files["outputs/large"]["xxh3"]), 32)
        self.assertEqual(files["outputs/second"]["xxh3"], files["outputs/large"]["xxh3"])
        with open(result.run_directory / "outputs/large", "r+b") as large:
            large.seek(500_000)
            large.write(b"flipped")
        verified = self.run_muster(["verify", result.run_directory])
        self.assert_code(verified, 70)
        self.assertIn("outputs/large: its bytes are not those that it had", verified.stdout)

    def test_results_max_size_keeps_the_rest_where_it_is(self):
        running = self.start_in_copy(
            "echo small > outputs/a; head -c 200000 /dev/zero > outputs/large",
            "results: {max_size: 100k}")
        result = running.wait(LONG)
        self.assert_code(result, 73)
        self.assertIn("results.max_size (100.0 KiB) is reached", result.stderr)
        self.assertEqual((result.run_directory / "outputs/a").read_text(), "small\n")
        [left] = result.run_directory.glob("scratch/*/outputs/large")
        self.assertEqual(left.stat().st_size, 200_000)
        [row] = json.loads(self.run_muster(["runs", "--json"]).stdout)
        self.assertEqual(row["missing"]["files_not_stored"], 1)
        self.assertIn("1 file not stored", self.run_muster(["runs"]).stdout)

    @needs_root
    def test_a_full_disk_while_publishing_and_room_again(self):
        disk = self.directory / "disk"
        disk.mkdir()
        script = ('mount -t tmpfs -o size=20m tmpfs "$DISK" || exit 77\n'
                  'head -c 15000000 /dev/zero > "$DISK/ballast"\n'
                  '(while [ ! -e "$ROOM" ]; do sleep 0.05; done; rm "$DISK/ballast") &\n'
                  '"$@"; code=$?; wait; cp -R "$DISK" "$DISK-copy"; exit $code')
        room = self.directory / "room"
        self.runs_dir = self.directory / "disk-copy"
        running = self.start("mkdir outputs; head -c 8000000 /dev/urandom > outputs/model; " + WAIT,
                             env={"DISK": disk, "ROOM": room, "MUSTER_RUNS_DIR": disk},
                             prefix=["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                     script, "sh"])
        def events():
            if running.process.poll() is not None:
                return "ended"
            inside = Path(f"/proc/{running.pid}/root") / disk.relative_to("/")
            return "".join(path.read_text() for path in inside.glob("*/events.jsonl"))
        said = wait_until(lambda: (text := events()) and
                          ("output_waits" in text or text == "ended") and text, LONG)
        if said == "ended":
            self.skipTest(f"no file system can be mounted: {running.output()!r}")
        self.assertIn("outputs/model", said)
        room.touch()
        inside = Path(f"/proc/{running.pid}/root") / disk.relative_to("/")
        wait_until(lambda: list(inside.glob("*/outputs/model")), LONG, "the file with room again")
        self.go.touch()
        result = running.wait(LONG)
        self.assert_code(result, 0)
        [stored] = self.runs_dir.glob("*/outputs/model")
        self.assertEqual(stored.read_bytes(), (self.work_dir / "outputs/model").read_bytes())

    @needs_root
    def test_on_a_file_system_of_a_program_without_events_everything_is_found(self):
        """What another client writes below a FUSE mount makes no inotify event, as on NFS."""
        bindfs = shutil.which("bindfs")
        if not bindfs or not os.path.exists("/dev/fuse"):
            self.skipTest("no bindfs or no /dev/fuse")
        behind = self.directory / "behind"
        behind.mkdir()
        mounted = subprocess.run([bindfs, "--no-allow-other", behind, self.work_dir], check=False,
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"bindfs: {mounted.stderr}")
        try:
            running = self.start("mkdir outputs; echo here > outputs/here; " + WAIT)
            self.wait_for(running, "outputs/here")
            for i in range(40):
                (behind / f"outputs/{i}").write_text(str(i))
            began = time.monotonic()
            self.wait_for(running, "outputs/39")
            wait_until(lambda: len(list((running.run_directory / "outputs").iterdir())) == 41,
                       LONG)
            print(f"found after {time.monotonic() - began:.1f} s")
            self.finish(running)
        finally:
            subprocess.run(["umount", self.work_dir], check=True)


class Download(OutputsTest):
    def setUp(self):
        super().setUp()
        self.result = self.run_muster(["run", "--", "sh", "-c", """
            mkdir -p outputs/ckpt/a logs
            echo one > outputs/model.pt; echo two > outputs/ckpt/a/2.pt; echo three > outputs/ckpt/3.pt
            echo text > outputs/notes.md; echo log > logs/x.log
            head -c 3000000 /dev/urandom > outputs/large.bin
            """])
        self.assert_code(self.result, 0)

    def download(self, *words, code=0):
        return self.download_of(self.result, *words, code=code)

    def download_of(self, run, *words, code=0):
        result = self.run_muster(["download", run.run_directory, *words])
        self.assert_code(result, code)
        return result

    def tree(self, directory):
        return sorted(str(path.relative_to(directory)) for path in Path(directory).rglob("*")
                      if not path.is_dir())

    def test_files_folders_and_patterns(self):
        to = self.directory / "to"
        self.download("outputs/model.pt", to)
        self.assertEqual(to.read_text(), "one\n")
        to.unlink()
        to.mkdir()
        self.download("model.pt", to)
        self.assertEqual(self.tree(to), ["model.pt"])
        self.download("*.pt", to)
        self.assertEqual(self.tree(to), ["ckpt/3.pt", "ckpt/a/2.pt", "model.pt"])
        self.download("outputs/ckpt", "logs/x.log", self.directory / "more")
        self.assertEqual(self.tree(self.directory / "more"), ["ckpt/3.pt", "ckpt/a/2.pt", "x.log"])
        self.assertEqual(self.download("notes.md", "-").stdout, "text\n")
        here = self.run_muster(["download", "outputs/notes.md"])  # of the latest, to here
        self.assert_code(here, 0)
        self.assertEqual((self.work_dir / "notes.md").read_text(), "text\n")

    def test_nothing_is_replaced_unless_asked(self):
        to = self.directory / "to"
        to.mkdir()
        (to / "model.pt").write_text("mine")
        result = self.download("model.pt", to, code=64)
        self.assertIn("is there already", result.stderr)
        self.assertIn("--force", result.stderr)
        self.assertEqual((to / "model.pt").read_text(), "mine")
        self.download("--force", "model.pt", to)
        self.assertEqual((to / "model.pt").read_text(), "one\n")
        self.assertIn("1 were there already", self.download("model.pt", to).stderr)

    def test_links_lead_to_the_same_in_a_copy(self):
        result = self.run_muster(["run", "--", "sh", "-c", """
            mkdir -p outputs/ck/deep logs; echo w > outputs/ck/deep/w; echo z > outputs/z
            cd outputs; ln -s ck best; ln -s z latest.pt; ln -s ../z ck/up; ln -s /etc/passwd evil; ln -s circle circle
            """])
        self.assert_code(result, 0)
        whole = self.directory / "whole"
        self.download_of(result, "outputs", whole)
        for link, leads_to in (("best", "ck"), ("latest.pt", "z"), ("ck/up", "../z")):
            self.assertEqual(os.readlink(whole / "outputs" / link), leads_to)
        self.assertEqual((whole / "outputs/best/deep/w").read_text(), "w\n")
        self.assertFalse(os.path.lexists(whole / "outputs/evil"))
        self.assertIn("were there already", self.download_of(result, "outputs", whole).stderr)
        # By its name alone it is what it leads to.
        alone = self.directory / "alone"
        self.download_of(result, "latest.pt", alone)
        self.assertTrue(alone.is_file() and not alone.is_symlink())
        self.assertEqual(self.download_of(result, "latest.pt", "-").stdout, "z\n")
        self.download_of(result, "outputs/best", self.directory / "folder")
        self.assertEqual(self.tree(self.directory / "folder"), ["best/deep/w", "best/up"])
        self.assertIn("circle", self.download_of(result, "circle", alone, code=74).stderr)
        refused = self.download_of(result, "evil", self.directory / "no", code=74)
        self.assertIn("is not stored", refused.stderr)

    def test_one_file_that_is_not_as_it_was_keeps_none_of_the_others(self):
        outputs = Path(self.result.run_directory) / "outputs"
        (outputs / "ckpt/3.pt").write_text("other")
        to = self.directory / "to"
        result = self.download("outputs", to, code=74)
        self.assertIn("ckpt/3.pt", result.stderr)
        self.assertIn("outputs/notes.md", self.tree(to))
        self.assertNotIn("outputs/ckpt/3.pt", self.tree(to))

    def test_a_cut_download_goes_on_and_bytes_are_checked(self):
        to = self.directory / "to"
        to.mkdir()
        large = (self.result.run_directory / "outputs/large.bin").read_bytes()
        (to / ".large.bin.muster-part").write_bytes(large[:1_000_000])
        self.download("large.bin", to)
        self.assertEqual((to / "large.bin").read_bytes(), large)
        self.assertEqual(self.tree(to), ["large.bin"])
        # A wrong beginning is of no use, and is noticed.
        (to / "large.bin").unlink()
        (to / ".large.bin.muster-part").write_bytes(b"x" * 1_000_000)
        self.download("large.bin", to)
        self.assertEqual((to / "large.bin").read_bytes(), large)
        # A run directory whose bytes are not those that were stored.
        with open(self.result.run_directory / "outputs/large.bin", "r+b") as stored:
            stored.write(b"broken")
        result = self.download("large.bin", self.directory / "other", code=74)
        self.assertIn("has other bytes than were stored", result.stderr)
        self.assertFalse((self.directory / "other").exists())

    def test_an_interrupted_download_goes_on(self):
        to = self.directory / "to"
        to.mkdir()
        large = self.result.run_directory / "outputs/large.bin"
        # As a copy that was cut leaves it: as long as the file, zeros where nothing came yet.
        (to / ".large.bin.muster-part").write_bytes(large.read_bytes()[:2_000_000] + bytes(10**6))
        result = self.download("--json", "large.bin", to)
        [file] = json.loads(result.stdout)["files"]
        self.assertEqual(file["state"], "resumed")
        self.assertEqual((to / "large.bin").read_bytes(), large.read_bytes())
        # Ctrl-C, on a terminal, in the middle of what takes long enough.
        (to / "large.bin").unlink()
        os.truncate(large, 64 << 30)
        with open(large, "r+b") as stored:
            for at in range(0, 64 << 30, 1 << 30):
                stored.seek(at)
                stored.write(b"data" * 65536)
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [muster_test.MUSTER, "download", self.result.run_directory, "large.bin", to],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**os.environ, "TERM": "xterm"})
        os.close(slave)
        seen = b""
        while b"64.0 GiB" not in seen:
            seen += os.read(master, 4096)
        process.send_signal(signal.SIGINT)
        while b"interrupted" not in seen:
            seen += os.read(master, 4096)
        self.assertEqual(process.wait(LONG), 130)
        os.close(master)
        self.assertRegex(seen.decode(), r"0 of 1 file, .* of 64\.0 GiB.*large\.bin")
        self.assertIn(b"the same command goes on", seen)
        self.assertEqual(self.tree(to), [".large.bin.muster-part"])

    def test_names_do_not_leave_the_destination(self):
        to = self.directory / "to"
        elsewhere = self.directory / "elsewhere"
        to.mkdir()
        elsewhere.mkdir()
        (to / "ckpt").symlink_to(elsewhere)
        result = self.run_muster(["download", self.result.run_directory, "outputs/ckpt", to])
        self.assertNotEqual(result.code, 0)
        self.assertEqual(list(elsewhere.iterdir()), [])
        for path in ("../run.json", "/etc/passwd", ".muster/files.jsonl", "nothing"):
            self.assertIn("has no file", self.download(path, to, code=64).stderr)

    def test_files_shows_what_there_is(self):
        shown = self.run_muster(["files", self.result.run_directory, "*.pt"])
        self.assert_code(shown, 0)
        lines = shown.stdout.splitlines()
        self.assertEqual(len(lines), 4, shown.stdout)
        self.assertIn("generation", lines[0])
        self.assertEqual(set(self.files(self.result.run_directory, "ckpt/")),
                         {"outputs/ckpt/3.pt", "outputs/ckpt/a/2.pt"})
        shutil.rmtree(self.result.run_directory / ".muster")
        files = self.files(self.result.run_directory)
        self.assertEqual({file["state"] for file in files.values()}, {"unlisted"})


class Sizes(OutputsTest):
    def setUp(self):
        """In memory where there is room, but for scripts/soak: ext4 takes many seconds to make files
        where others have just been deleted, and many times 10,000 are in a day of tests."""
        memory = Path("/dev/shm")
        in_memory = ("MUSTER_SOAK" not in os.environ and os.access(memory, os.W_OK)
                     and shutil.disk_usage(memory).free > 512 << 20)
        with unittest.mock.patch.object(tempfile, "tempdir",
                                        str(memory) if in_memory else tempfile.tempdir):
            super().setUp()

    def test_many_small_files_and_a_large_one(self):
        """10,000 small files, and 2 GiB of which most is a hole, arrive whole."""
        running = self.start_in_copy(
            "python3 - <<'END'\n"
            "import os\n"
            "for i in range(10000):\n"
            "    os.makedirs(f'outputs/d{i % 20}', exist_ok=True)\n"
            "    open(f'outputs/d{i % 20}/{i}', 'w').write(str(i))\n"
            "with open('outputs/large', 'wb') as large:\n"
            "    large.write(b'begin'); large.seek(2 << 30); large.write(b'end')\n"
            "END\n" + WAIT)
        self.wait_for(running, "outputs/large")
        wait_until(lambda: sum(len(names) for _, _, names in
                               os.walk(running.run_directory / "outputs")) == 10_001, LONG)
        result = self.finish(running)
        for i in range(10_000):
            self.assertEqual((result.run_directory / f"outputs/d{i % 20}/{i}").read_text(), str(i))
        large = result.run_directory / "outputs/large"
        self.assertEqual(large.stat().st_size, (2 << 30) + 3)
        self.assertLess(large.stat().st_blocks, 1000)
        files = self.files(result.run_directory)
        self.assertEqual(len(files), 10_001)
        self.assertEqual({file["generation"] for file in files.values()}, {1})


if __name__ == "__main__":
    muster_test.main()
