"""Inputs and outputs that are mounted: by bind mount, rclone, a datastore's own command; what ends
with them; and that nothing stays mounted, whatever happens."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import unittest
from pathlib import Path

import muster_test
from muster_test import MUSTER, ROUNDS, MusterTest, is_alive, needs_root, wait_until

SECRET = "hunter2-is-secret"


def mount_points(below):
    """What is mounted at that path or below, by the kernel's table alone."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point = line.split()[4].replace("\\040", " ")
        if point == str(below) or point.startswith(f"{below}/"):
            points.append(point)
    return points


def may_mount():
    here = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
    return os.geteuid() == 0 and here.returncode == 0


def why_no_rclone():
    for tool in ("rclone", "fusermount3"):
        if not shutil.which(tool):
            return f"no {tool} on PATH"
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    return ""


def has_moto():
    return subprocess.run([muster_test.PYTHON, "-c", "import moto.server"], capture_output=True,
                          check=False).returncode == 0


needs_mounting = unittest.skipUnless(may_mount(), "mounting is not permitted here")
needs_rclone = unittest.skipIf(why_no_rclone(), why_no_rclone())
needs_bindfs = unittest.skipUnless(shutil.which("bindfs"), "no bindfs on PATH")


class MountTest(MusterTest):
    def setUp(self):
        super().setUp()
        self.data = self.directory / "data"
        (self.data / "digits").mkdir(parents=True)
        (self.data / "digits/one.txt").write_text("first line\n")
        (self.data / "models").mkdir()
        (self.work_dir / "rclone.conf").write_text(
            f"[disk]\ntype = alias\nremote = {self.data}\n")
        os.chmod(self.work_dir / "rclone.conf", 0o600)
        self.datastores(
            local=f"{{type: local, path: {self.data}}}",
            remote="{type: rclone, remote: 'disk:', config_file: rclone.conf}")

    def clean_up(self, passed):
        left = mount_points(self.directory)
        super().clean_up(passed and not left)
        for point in reversed(left):  # a failure; the tests' machine is to stay clean all the same
            subprocess.run(["umount", "-l", point], check=False)

    def datastores(self, **stores):
        lines = [f"  {name}: {text}" for name, text in stores.items()]
        (self.work_dir / "datastores.yaml").write_text("datastores:\n" + "\n".join(lines) + "\n")

    def config(self, command, data, limits="{}"):
        (self.work_dir / "run.yaml").write_text(
            f"command: |\n  {command}\nlimits: {limits}\n{data}\n")
        return "run.yaml"

    def run_data(self, command, data, limits="{}", **options):
        return self.run_muster(["run", self.config(command, data, limits)], **options)

    def start_data(self, command, data, limits="{}", **options):
        return self.start_muster(["run", self.config(command, data, limits)], **options)

    def assert_clean(self, within=10.0):
        """Nothing mounted, no process, nothing in the runtime directory."""
        wait_until(lambda: not mount_points(self.directory), within,
                   f"that nothing stays mounted ({mount_points(self.directory)})")
        self.assert_nothing_left(within)
        self.assert_runtime_empty()

    def helper(self, running, name="rclone"):
        """The living mount helper of that program, once it is there."""
        def find():
            found = [each for each in running.processes()
                     if each.argv and os.path.basename(each.argv[0]) == name
                     and "version" not in each.argv]
            return found[0] if found else None
        return wait_until(find, 20, f"{name}")

    def rank_says(self, running, text):
        def said():
            directory = running.run_directory
            file = directory and directory / "ranks/00000/attempt-0/stdout.log"
            return file and file.exists() and text in file.read_text()
        wait_until(said, 30, f"the rank's {text!r}")

    def events(self, result, name):
        lines = (result.run_directory / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]


class BindTest(MountTest):
    @needs_mounting
    def test_an_input_is_bound_read_only_and_an_output_can_be_written(self):
        result = self.run_data(
            'cat "$AZURE_ML_INPUT_digits/one.txt"; touch "$AZURE_ML_INPUT_digits/x" 2>&1;'
            ' echo model > "$AZURE_ML_OUTPUT_model/m.txt"; echo "$own"',
            "inputs: {digits: {path: 'datastore://local/digits', environment_variable: own}}\n"
            "outputs: {model: {path: 'datastore://local/models/new'}}")
        self.assert_code(result, 0)
        said = result.rank_bytes(0).decode()
        self.assertIn("first line", said)
        self.assertIn("Read-only file system", said)
        self.assertEqual((self.data / "models/new/m.txt").read_text(), "model\n")
        self.assertFalse((self.data / "digits/x").exists())
        self.assertIn("/data/digits\n", said)
        for what in ("mount_requested", "mount_started", "mount_ready", "mount_unmounted"):
            self.assertTrue(self.events(result, what), what)
        self.assert_clean()

    @needs_mounting
    def test_a_file_is_bound_under_its_name(self):
        result = self.run_data('cat "$AZURE_ML_INPUT_one"; echo "$AZURE_ML_INPUT_one"',
                               "inputs: {one: {path: ../data/digits/one.txt, type: file}}")
        self.assert_code(result, 0)
        self.assertIn("first line", result.stdout)
        self.assertIn("/data/one/one.txt", result.stdout)
        self.assert_clean()

    @needs_mounting
    def test_what_is_mounted_below_the_source_is_seen_and_survives(self):
        inner = self.data / "digits/inner"
        inner.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", inner], check=True)
        try:
            (inner / "deep.txt").write_text("deep\n")
            result = self.run_data('cat "$AZURE_ML_INPUT_digits/inner/deep.txt"',
                                   "inputs: {digits: {path: 'datastore://local/digits'}}")
            self.assert_code(result, 0)
            self.assertIn("deep", result.stdout)
            self.assertEqual(mount_points(self.directory), [str(inner)])
            self.assertTrue((inner / "deep.txt").exists())
        finally:
            subprocess.run(["umount", inner], check=True)

    def test_a_further_link_is_made_and_removed_and_never_replaces_anything(self):
        link = self.directory / "elsewhere"
        data = ("inputs: {digits: {path: 'datastore://local/digits', "
                f"path_on_compute: {link}}}}}")
        result = self.run_data(f"cat {link}/one.txt", data)
        self.assert_code(result, 0)
        self.assertIn("first line", result.stdout)
        self.assertFalse(os.path.lexists(link))
        link.write_text("mine")
        result = self.run_data("true", data)
        self.assert_code(result, 74)
        self.assertIn("something is there already", result.stderr)
        self.assertEqual(link.read_text(), "mine")
        self.assert_clean()

    def test_a_further_link_of_a_killed_launcher_does_not_keep_the_next_run_from_its_own(self):
        link = self.directory / "elsewhere"
        data = ("inputs: {digits: {path: 'datastore://local/digits', "
                f"path_on_compute: {link}}}}}")
        running = self.start_data("echo started; sleep 60", data)
        self.rank_says(running, "started")
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        self.assertTrue(link.is_symlink())
        result = self.run_data(f"cat {link}/one.txt", data)
        self.assert_code(result, 0)
        self.assertIn("first line", result.stdout)
        self.assertFalse(os.path.lexists(link))
        self.assert_clean()

    def test_an_output_without_a_path_stays_in_the_run_directory(self):
        result = self.run_data('echo model > "$AZURE_ML_OUTPUT_model/m.txt"; ls -ld "$AZURE_ML_OUTPUT_model"',
                               "outputs: {model: }")
        self.assert_code(result, 0)
        self.assertEqual((result.run_directory / "outputs/model/m.txt").read_text(), "model\n")
        self.assert_clean()

    def test_the_plan_says_where_everything_is(self):
        self.config("true", "inputs: {digits: {path: 'datastore://local/digits'}, lr: 0.10}\n"
                            "outputs: {model: }")
        plan = json.loads(self.run_muster(["plan", "run.yaml", "--format", "json"]).stdout)
        digits, lr, model = plan["data"]
        self.assertIn(digits["means"], ("bind", "link"))
        self.assertEqual(digits["location"], str(self.data / "digits"))
        self.assertEqual(digits["value"], "<set at start>/digits")
        self.assertEqual(lr["value"], "0.10")
        self.assertEqual(model["means"], "run directory")
        text = self.run_muster(["plan", "run.yaml"]).stdout
        self.assertIn("input digits", text)
        self.assertEqual(mount_points(self.directory), [])

    def test_mistakes_are_told_together_and_before_anything_runs(self):
        self.datastores(a="{type: locol}", b="{type: local, path: /x, option: y}")
        result = self.run_data("true", "inputs: {digits: {path: 'datastore://local/digits'}}")
        self.assert_code(result, 65)
        self.assertIn('"locol" is no type of datastore', result.stderr)
        self.assertIn('unknown key "option"', result.stderr)
        self.assertEqual(self.run_directories(), [])
        self.datastores(local=f"{{type: local, path: {self.data}}}")
        result = self.run_data("true", "inputs: {digits: {path: 'datastore://lokal/digits'}}")
        self.assert_code(result, 65)
        self.assertIn('did you mean "local"?', result.stderr)
        result = self.run_data("true", "inputs: {digits: {path: 'datastore://local/digit'}}")
        self.assert_code(result, 74)
        self.assertIn(f"input digits: {self.data}/digit does not exist", result.stderr)


@needs_rclone
class RcloneTest(MountTest):
    def test_an_input_is_read_and_what_is_written_arrives(self):
        result = self.run_data(
            'cat "$AZURE_ML_INPUT_digits/one.txt"; touch "$AZURE_ML_INPUT_digits/x" 2>&1;'
            ' echo model > "$AZURE_ML_OUTPUT_model/m.txt"',
            "inputs: {digits: {path: 'datastore://remote/digits'}}\n"
            "outputs: {model: {path: 'datastore://remote/models'}}")
        self.assert_code(result, 0)
        said = result.rank_bytes(0).decode()
        self.assertIn("first line", said)
        self.assertIn("Read-only file system", said)
        self.assertEqual((self.data / "models/m.txt").read_text(), "model\n")
        self.assertTrue((result.run_directory / "launcher/mount-digits.log").exists())
        self.assertFalse((result.run_directory / ".write-cache").exists())
        self.assert_clean()

    def test_a_helper_that_is_killed_ends_the_run_and_is_named(self):
        for _ in range(ROUNDS):
            running = self.start_data(
                'echo started; while cat "$AZURE_ML_INPUT_digits/one.txt" >/dev/null; do sleep 0.1; done; sleep 60',
                "inputs: {digits: {path: 'datastore://remote/digits'}}",
                "{failure_grace_period: 1s, unmount_timeout: 5s}")
            self.rank_says(running, "started")
            time.sleep(random.uniform(0, 0.5))
            os.kill(self.helper(running).pid, signal.SIGKILL)
            result = running.wait(30)
            self.assert_code(result, 74)
            self.assertIn("input digits on", result.stderr)
            self.assertIn("its mount is gone in the middle of the run: rclone killed by SIGKILL",
                          result.stderr)
            self.assertEqual(result.run_json["origin"], "muster")
            self.assert_clean()

    def test_a_helper_that_is_killed_while_it_mounts_fails_the_run(self):
        for _ in range(ROUNDS):
            running = self.start_data("true", "inputs: {digits: {path: 'datastore://remote/digits'}}",
                                      "{mount_timeout: 20s}")
            os.kill(self.helper(running).pid, signal.SIGKILL)
            result = running.wait(30)
            # It may have been ready already, and the rank done.
            self.assertIn(result.code, (0, 74), result)
            if result.code == 74:
                self.assertIn("killed by SIGKILL", result.stderr)
            self.assert_clean()

    def test_a_file_that_is_mounted_as_a_folder_is_told_from_one(self):
        result = self.run_data("true", "inputs: {d: {path: 'datastore://remote/digits/one.txt'}}",
                               "{mount_timeout: 20s}")
        self.assert_code(result, 74)
        self.assertIn("write `type: file`", result.stderr)
        self.assert_clean()

    def test_a_helper_that_hangs_is_told_and_the_end_is_bounded(self):
        running = self.start_data(
            'echo started; sleep 13', "inputs: {digits: {path: 'datastore://remote/digits'}}",
            "{unmount_timeout: 1s}")
        self.rank_says(running, "started")
        os.kill(self.helper(running).pid, signal.SIGSTOP)
        result = running.wait(60)
        self.assertIn("input digits has not answered for 5.0 s", result.stderr)
        self.assertTrue(self.events(result, "mount_silent"))
        self.assert_code(result, 0)  # read only: nothing of it can be lost
        self.assertEqual(result.run_json["status"], "succeeded")
        self.assert_clean()

    def test_a_hanging_output_is_unmounted_lazily_and_the_run_has_failed(self):
        for _ in range(min(ROUNDS, 2)):
            running = self.start_data(
                'echo x > "$AZURE_ML_OUTPUT_model/m.txt"; echo started; sleep 1',
                "outputs: {model: {path: 'datastore://remote/models'}}", "{unmount_timeout: 1s}")
            self.rank_says(running, "started")
            os.kill(self.helper(running).pid, signal.SIGSTOP)
            result = running.wait(60)
            self.assert_code(result, 74)
            self.assertIn("what was not uploaded is in", result.stderr)
            self.assertIn("rclone was still uploading after 1.0 s, the time of "
                          "limits.unmount_timeout", result.stderr)
            self.assert_clean()

    def test_stopping_while_it_mounts_leaves_nothing(self):
        for _ in range(ROUNDS):
            running = self.start_data("sleep 60",
                                      "inputs: {digits: {path: 'datastore://remote/digits'}}")
            self.helper(running)
            time.sleep(random.uniform(0, 0.3))
            running.send(signal.SIGTERM)
            result = running.wait(30)
            self.assert_code(result, 143)
            self.assert_clean()

    def test_a_second_interrupt_hurries(self):
        running = self.start_data(
            "trap '' INT TERM; echo started; sleep 60",
            "inputs: {digits: {path: 'datastore://remote/digits'}}")
        self.rank_says(running, "started")
        running.send(signal.SIGINT)
        wait_until(lambda: b"stopping" in running.output() or time.sleep(0.2) or True, 5)
        running.send(signal.SIGINT)
        self.assert_code(running.wait(30), 130)
        self.assert_clean()

    def test_the_next_start_takes_away_what_a_killed_launcher_left(self):
        for _ in range(ROUNDS):
            running = self.start_data(
                "echo started; sleep 60",
                "inputs: {digits: {path: 'datastore://remote/digits'}, "
                "near: {path: 'datastore://local/digits'}}")
            self.rank_says(running, "started")
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
            self.assert_nothing_left()
            self.assert_code(self.run_muster(["run", "-n", "1", "--", "true"]), 0)
            self.assert_clean()
            self.assertTrue((self.data / "digits/one.txt").exists())

    def test_a_webdav_server_with_a_password_that_is_nowhere_seen(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            ["rclone", "serve", "webdav", str(self.data), "--addr", f"127.0.0.1:{port}"],
            env=self.environment({"RCLONE_USER": "anna", "RCLONE_PASS": SECRET}),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(muster_test.end, server)

        def listens():
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", port)) == 0
        wait_until(listens, 20, "the server")
        obscured = subprocess.run(["rclone", "obscure", "-"], input=SECRET, capture_output=True,
                                  text=True, check=True).stdout.strip()
        secrets = self.work_dir / "dav.env"
        secrets.write_text(f"RCLONE_CONFIG_DAV_TYPE=webdav\nRCLONE_CONFIG_DAV_USER=anna\n"
                           f"RCLONE_CONFIG_DAV_URL=http://127.0.0.1:{port}\n"
                           f"RCLONE_CONFIG_DAV_PASS={obscured}\n")
        os.chmod(secrets, 0o644)
        self.datastores(dav="{type: rclone, remote: 'dav:', environment_file: dav.env}")
        running = self.start_data(
            'cat "$AZURE_ML_INPUT_digits/one.txt"; env; sleep 1',
            "inputs: {digits: {path: 'datastore://dav/digits'}}")
        helper = self.helper(running)
        self.assertNotIn(obscured, " ".join(helper.argv))
        result = running.wait(60)
        self.assert_code(result, 0)
        self.assertIn("first line", result.stdout)
        self.assertIn("others may read it: chmod 600", result.stderr)
        plan = self.run_muster(["plan", "run.yaml", "--format", "json"]).stdout
        texts = [result.stdout, result.stderr, plan]
        texts += [path.read_text(errors="replace") for path in result.run_directory.rglob("*")
                  if path.is_file()]
        for text in texts:
            self.assertNotIn(SECRET, text)
            self.assertNotIn(obscured, text)
        muster_test.end(server)
        self.assert_clean()

    def test_a_folder_that_is_not_there_fails_before_any_rank_and_an_empty_one_does_not(self):
        (self.data / "empty").mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            ["rclone", "serve", "webdav", str(self.data), "--addr", f"127.0.0.1:{port}"],
            env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(muster_test.end, server)

        def listens():
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", port)) == 0
        wait_until(listens, 20, "the server")
        (self.work_dir / "dav.env").write_text(
            f"RCLONE_CONFIG_DAV_TYPE=webdav\nRCLONE_CONFIG_DAV_URL=http://127.0.0.1:{port}\n")
        os.chmod(self.work_dir / "dav.env", 0o600)
        # An option that `rclone mount` alone knows does not keep the question from being asked.
        self.datastores(dav="{type: rclone, remote: 'dav:', environment_file: dav.env, "
                            "options: [--dir-cache-time, 5s]}")
        result = self.run_data("echo ran", "inputs: {digits: {path: 'datastore://dav/nope'}}")
        self.assert_code(result, 74)
        self.assertRegex(result.stderr, r"input digits on \S+: there is nothing at dav:nope")
        self.assertIn("directory not found", result.stderr)
        self.assertNotIn("ran\n", result.stdout)
        self.assertEqual(mount_points(self.directory), [])
        result = self.run_data("echo ran", "inputs: {digits: {path: 'datastore://dav/empty'}}\n"
                                           "outputs: {model: {path: 'datastore://dav/new'}}")
        self.assert_code(result, 0)
        self.assertIn("ran\n", result.stdout)
        muster_test.end(server)
        self.assert_clean()

    @unittest.skipUnless(has_moto(), "no moto[server] for " + muster_test.PYTHON + " (PyPI)")
    def test_an_s3_server(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            [muster_test.PYTHON, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            env=self.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(muster_test.end, server)

        def listens():
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", port)) == 0
        wait_until(listens, 60, "the server")
        secrets = self.work_dir / "s3.env"
        secrets.write_text(f"RCLONE_CONFIG_S3_TYPE=s3\nRCLONE_CONFIG_S3_PROVIDER=Other\n"
                           f"RCLONE_CONFIG_S3_ENDPOINT=http://127.0.0.1:{port}\n"
                           f"AWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY={SECRET}\n"
                           "RCLONE_CONFIG_S3_ENV_AUTH=true\n")
        os.chmod(secrets, 0o600)
        words = dict(line.split("=", 1) for line in secrets.read_text().splitlines())
        plain = {"AWS_CA_BUNDLE": None}  # rclone 1.60 refuses one

        def rclone(*args):
            return subprocess.run(["rclone", *args], env=self.environment({**words, **plain}),
                                  capture_output=True, text=True, check=True).stdout
        rclone("copy", str(self.data / "digits"), "s3:bucket/digits")
        self.datastores(blob="{type: rclone, remote: 's3:bucket', environment_file: s3.env}")
        result = self.run_data(
            'cat "$AZURE_ML_INPUT_digits/one.txt"; echo model > "$AZURE_ML_OUTPUT_model/m.txt"',
            "inputs: {digits: {path: 'datastore://blob/digits'}}\n"
            "outputs: {model: {path: 'datastore://blob/models'}}", env=plain)
        self.assert_code(result, 0)
        self.assertIn("first line", result.stdout)
        self.assertEqual(rclone("cat", "s3:bucket/models/m.txt"), "model\n")
        missing = self.run_data("true", "inputs: {digits: {path: 'datastore://blob/nope'}}",
                                env=plain)
        self.assert_code(missing, 74)
        self.assertIn("there is nothing at s3:bucket/nope", missing.stderr)
        self.assertIn("this store has no empty folders", missing.stderr)
        for path in result.run_directory.rglob("*"):
            if path.is_file():
                self.assertNotIn(SECRET, path.read_text(errors="replace"), path)
        muster_test.end(server)
        self.assert_clean()

    def test_what_is_missing_on_the_remote_is_named_with_the_words_of_the_helper(self):
        self.datastores(remote="{type: rclone, remote: 'none:', config_file: rclone.conf}")
        result = self.run_data("true", "inputs: {digits: {path: 'datastore://remote/digits'}}")
        self.assert_code(result, 74)
        self.assertIn("input digits on", result.stderr)
        self.assertIn("rclone exited with 1", result.stderr)
        self.assertIn("didn't find section in config file", result.stderr)
        self.assert_clean()


class CommandTest(MountTest):
    def script(self, text, name="mounts.sh"):
        path = self.work_dir / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return path

    @needs_mounting
    def test_a_command_that_mounts_and_ends(self):
        script = self.script('mount -t tmpfs -o "$3" tmpfs "$2" && echo "$1" > /dev/null\n')
        self.datastores(own=f"{{type: command, source: top, mount: [{script}, '{{source}}', '{{target}}', "
                            "'{options}'], options: 'size=1m'}")
        result = self.run_data('touch "$AZURE_ML_INPUT_d/x" 2>&1; grep "$AZURE_ML_INPUT_d" /proc/self/mountinfo',
                               "inputs: {d: {path: 'datastore://own/d'}}")
        self.assert_code(result, 0)
        self.assertIn("Read-only file system", result.stdout)
        self.assertIn("tmpfs", result.stdout)
        self.assert_clean()

    @needs_bindfs
    @needs_rclone
    def test_a_command_that_stays_and_one_that_goes_into_the_background(self):
        for words in ("bindfs, -f", "bindfs"):
            self.datastores(own=f"{{type: command, source: {self.data}, mount: [{words}, -o, '{{access}}', "
                                "'{source}', '{target}'], unmount: [fusermount3, -u, '{target}']}")
            result = self.run_data('cat "$AZURE_ML_INPUT_d/one.txt"; touch "$AZURE_ML_INPUT_d/x" 2>&1; true',
                                   "inputs: {d: {path: 'datastore://own/digits'}}")
            self.assert_code(result, 0)
            self.assertIn("first line", result.stdout)
            self.assertIn("Read-only file system", result.stdout)
            self.assert_clean()

    @needs_bindfs
    @needs_rclone
    def test_a_background_helper_that_is_killed_is_noticed(self):
        self.datastores(own=f"{{type: command, source: {self.data}, mount: [bindfs, -o, '{{access}}', "
                            "'{source}', '{target}']}")
        for _ in range(min(ROUNDS, 2)):
            running = self.start_data("echo started; sleep 60",
                                      "inputs: {d: {path: 'datastore://own/digits'}}",
                                      "{failure_grace_period: 1s}")
            self.rank_says(running, "started")
            os.kill(self.helper(running, "bindfs").pid, signal.SIGKILL)
            result = running.wait(40)
            self.assert_code(result, 74)
            self.assertIn("its mount is gone in the middle of the run", result.stderr)
            self.assert_clean()

    def test_one_that_only_says_so_before_its_time_is_over(self):
        script = self.script("echo done\n")
        self.datastores(own=f"{{type: command, source: top, mount: [{script}, '{{target}}']}}")
        result = self.run_data("true", "inputs: {d: {path: 'datastore://own/d'}}",
                               "{mount_timeout: 1s}")
        self.assert_code(result, 74)
        self.assertIn("ended with 0, and nothing is mounted", result.stderr)
        self.assertNotIn("limits.mount_timeout allows more", result.stderr)
        self.assert_clean()

    def test_one_that_is_never_ready_and_one_that_only_says_so(self):
        for text, wanted in (("echo waiting; sleep 1000\n", "nothing was mounted from top/d within 1.0 s"),
                             ("echo done\n", "ended with 0, and nothing is mounted"),
                             ("echo no such bucket >&2; exit 3\n", "mounts.sh exited with 3")):
            script = self.script(text)
            self.datastores(own=f"{{type: command, source: top, mount: [{script}, '{{target}}']}}")
            result = self.run_data("true", "inputs: {d: {path: 'datastore://own/d'}}",
                                   "{mount_timeout: %s}" % ("1s" if "1000" in text else "20s"))
            self.assert_code(result, 74)
            self.assertIn("input d on", result.stderr)
            self.assertIn(wanted, result.stderr)
            self.assertIn(text.split()[1].split(";")[0], result.stderr)
            self.assertFalse((result.run_directory / "ranks/00000/attempt-0/stdout.log").stat().st_size
                             if (result.run_directory / "ranks/00000/attempt-0/stdout.log").exists()
                             else 0)
            self.assert_clean()


@needs_root
class OrdinaryUserTest(MountTest):
    """As nobody: no bind mounts, FUSE through fusermount3."""

    def setUp(self):
        super().setUp()
        if not shutil.which("setpriv"):
            raise unittest.SkipTest("no setpriv on PATH")
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, 65534, 65534)
        os.chmod(self.directory, 0o755)
        bin_dir = self.directory / "bin"
        bin_dir.mkdir()
        for name in ("muster", "muster-agent"):
            shutil.copy2(Path(MUSTER).parent / name, bin_dir / name)
        self.muster = bin_dir / "muster"
        self.as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

    def run_as_nobody(self, command, data):
        os.chown(self.work_dir / self.config(command, data), 65534, 65534)
        os.chown(self.work_dir / "datastores.yaml", 65534, 65534)
        return self.run_muster(["run", "run.yaml"], prefix=self.as_nobody, muster=self.muster,
                               env={"HOME": self.directory})

    def test_a_local_path_is_a_link_and_the_plan_says_why(self):
        result = self.run_as_nobody(
            'cat "$AZURE_ML_INPUT_digits/one.txt"; readlink "$AZURE_ML_INPUT_digits"',
            "inputs: {digits: {path: 'datastore://local/digits'}}")
        self.assert_code(result, 0)
        self.assertIn("first line", result.stdout)
        self.assertIn(str(self.data / "digits"), result.stdout)
        plan = json.loads((result.run_directory / "plan.json").read_text())
        self.assertEqual(plan["data"][0]["means"], "link")
        self.assertIn("mounting is not permitted (it takes root)", plan["data"][0]["why"])
        self.assert_clean()

    @needs_rclone
    @needs_mounting
    def test_a_remote_is_mounted_by_fuse(self):
        # In mounts of its own, where nobody may open /dev/fuse as on any desktop.
        self.config('cat "$AZURE_ML_INPUT_digits/one.txt"; touch "$AZURE_ML_INPUT_digits/x" 2>&1; true',
                    "inputs: {digits: {path: 'datastore://remote/digits'}}")
        for name in ("run.yaml", "datastores.yaml"):
            os.chown(self.work_dir / name, 65534, 65534)
        device = self.directory / "fuse"
        script = (f'mknod -m 666 {device} c 10 229 && mount --bind {device} /dev/fuse && '
                  f'setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; code=$?; '
                  f'grep "{self.directory}/rt" /proc/self/mountinfo; exit $code')
        result = self.run_muster(["run", "run.yaml"], prefix=["unshare", "-m", "sh", "-c", script, "sh"],
                                 muster=self.muster, env={"HOME": self.directory})
        self.assert_code(result, 0)
        self.assertIn("first line", result.stdout)
        self.assertIn("Read-only file system", result.stdout)
        self.assertNotIn("fuse.rclone", result.stdout)
        device.unlink()
        self.assert_clean()

    @needs_rclone
    def test_without_the_device_it_says_what_else_there_is(self):
        if os.stat("/dev/fuse").st_mode & 0o006:
            self.skipTest("everybody may open /dev/fuse here")
        result = self.run_as_nobody("true", "inputs: {digits: {path: 'datastore://remote/digits'}}")
        self.assert_code(result, 69)
        self.assertIn("/dev/fuse cannot be opened: Permission denied", result.stderr)
        self.assertIn("use mode: download", result.stderr)


if __name__ == "__main__":
    muster_test.main()
