"""Runs that are sent to a collector: everything is there, once, whatever ends in between."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
import unittest
from pathlib import Path

import muster_test
from chaos import SmallDisk
from muster_test import MUSTER, MusterTest, program, wait_until

MIB = 1 << 20


def ledger(run, stream):
    """What a store's ledger says of one stream: its gaps, and its end."""
    gaps, end = {}, None
    path = run / ".muster" / "streams.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        record = json.loads(line)
        if record.get("stream") != stream:
            continue
        if "gap" in record:
            gaps[record["gap"]["from"]] = record["gap"]
        end = record.get("end", end)
    return [gaps[start] for start in sorted(gaps)], end


def has_relay():
    return subprocess.run([MUSTER, "relay", "--help"], capture_output=True).returncode == 0


class CollectorTest(MusterTest):
    """With a receiver on a UNIX socket, started and ended at will."""

    def setUp(self):
        super().setUp()
        self.store = self.directory / "store"
        self.address = f"unix:{self.directory}/c.sock"
        self.relays = 0

    def start_relay(self, address=None, store=None, more=()):
        """A relay, when it listens; its address."""
        self.relays += 1
        log = self.directory / f"relay-{self.relays}.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [MUSTER, "relay", "--listen", address or self.address, "--store",
                 str(store or self.store), *more],
                env=self.environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True)
        self.addCleanup(muster_test.end, process)

        def listens():
            self.assertIsNone(process.poll(), log.read_text())
            for line in log.read_text().splitlines():
                if "collector listens on " in line:
                    return line.split("collector listens on ")[1].split(", ")[0]
            return None

        return process, wait_until(listens, 20, "the relay listening")

    def end_relay(self, process, number=signal.SIGTERM):
        process.send_signal(number)
        process.wait(20)

    def run_flood(self, mib, more=(), ranks=2, extra=()):
        return self.start_muster(["run", "-n", str(ranks), "--backend", "direct", "--run-id", "r",
                                  "--console", "none", *more, "--", program("flood"),
                                  "--bytes", str(mib * MIB), *extra])

    def stored(self, rank, name="stdout.log", run="r", store=None):
        return (store or self.store) / run / f"ranks/{rank:05d}/attempt-0" / name

    def assert_flood(self, path, rank, length):
        self.assertIsNone(muster_test.flood_difference(path, rank, length))

    def assert_same_streams(self, ours, theirs):
        for path in sorted(ours.rglob("*.log")):
            if path.is_symlink() or "launcher" in path.parts or "ranks" not in path.parts:
                continue
            other = theirs / path.relative_to(ours)
            if not path.stat().st_size and not other.exists():
                continue
            self.assertEqual(path.read_bytes(), other.read_bytes(), path)


    def assert_same_run(self, ours, theirs):
        """Every file of a run, byte for byte; what each store says of itself is its own."""
        def files(run):
            return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*"))
                    if path.is_file() and not path.is_symlink() and
                    not re.match(r"\.muster/|metrics\.db|tb/|user_logs/|azureml-logs/",
                                 str(path.relative_to(run)))}
        here, there = files(ours), files(theirs)
        # A stream without a byte is nothing to tell of before it ends, and empty after it.
        self.assertEqual(sorted(here), sorted(there))
        for name, data in here.items():
            self.assertEqual(data, there[name], name)

    def verify(self, run):
        self.assert_code(self.run_muster(["verify", run]), 0)

    def wait_said(self, running, text):
        wait_until(lambda: text.encode() in running.output(), 30, f"`{text}`")


@unittest.skipUnless(has_relay(), "this muster has no relay")
class Delivery(CollectorTest):
    def test_everything_of_a_run_is_there_when_it_ends(self):
        relay, address = self.start_relay()
        code = ("import os; os.makedirs('outputs', exist_ok=True);"
                "open('outputs/model', 'w').write('weights');"
                "print('hello', os.environ['RANK']); os.write(2, b'err\\n');"
                "open(os.environ['MUSTER_METRICS'], 'w').write('loss 0.5 1\\n')")
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--run-id", "r",
                                  "--collector", address, "--", muster_test.PYTHON, "-c", code])
        self.assert_code(result, 0)
        self.assertIn("delivered to the collector", result.stderr)
        there = self.store / "r"
        self.assert_same_streams(result.run_directory, there)
        self.assertEqual(self.stored(1).read_text(), "hello 1\n")
        self.assertEqual((there / "outputs/model").read_text(), "weights")
        self.assert_same_run(result.run_directory, there)
        for rank in (0, 1):
            metrics = f"ranks/{rank:05d}/attempt-0/metrics.jsonl"
            self.assertEqual((there / metrics).read_text(), "loss 0.5 1\n")
        upstream = json.loads((result.run_directory / ".muster/upstream.json").read_text())
        self.assertEqual(upstream["complete"], True)
        report = (result.run_directory / "report.txt").read_text()
        self.assertIn("delivered to the collector", report)
        self.assertTrue(result.stderr.endswith(report), result)
        events = [json.loads(line)["event"] for line
                  in (result.run_directory / "events.jsonl").read_text().splitlines()]
        self.assertIn("collector_connected", events)
        self.end_relay(relay)

    def test_a_name_that_becomes_another_kind_of_thing(self):
        """`latest` is a link today and a folder tomorrow: the run is none the worse for it."""
        relay, address = self.start_relay()
        make = {"file": "echo text > $1", "folder": "mkdir $1; echo in it > $1/in",
                "link": "ln -s there $1"}
        pairs = [(old, new) for old in make for new in make if old != new]
        script = ["set -e", "mkdir -p outputs", "echo there > outputs/there"]
        script += [f"{kind}() {{ {how}; }}" for kind, how in make.items()]
        script += [f"{old} outputs/{old}-to-{new}" for old, new in pairs]
        script += ['while [ ! -e "$GO" ]; do sleep 0.02; done']
        script += [f"rm -r outputs/{old}-to-{new}; {new} outputs/{old}-to-{new}"
                   for old, new in pairs]
        go = self.directory / "go"
        running = self.start_muster(
            ["run", "--backend", "direct", "--run-id", "r", "--collector", address, "--",
             "sh", "-c", "\n".join(script)], env={"GO": go})
        there = self.store / "r"
        first = [there / "outputs" / f"{old}-to-{new}" / ("in" if old == "folder" else "")
                 for old, new in pairs]
        wait_until(lambda: all(path.exists() for path in first), 60, "all at the collector")
        go.touch()
        result = running.wait(60)
        self.assert_code(result, 0)
        for run in (result.run_directory, there):
            for old, new in pairs:
                path = run / "outputs" / f"{old}-to-{new}"
                self.assertEqual(path.is_symlink(), new == "link", path)
                self.assertEqual(path.is_dir(), new == "folder", path)
                text = {"file": "text\n", "folder": "in it\n", "link": "there\n"}[new]
                self.assertEqual((path / "in" if new == "folder" else path).read_text(), text)
        self.assert_same_run(result.run_directory, there)
        self.verify(result.run_directory)
        self.end_relay(relay)
        self.verify(there)
        shown = json.loads(self.run_muster(["files", there, "--json"]).stdout)["files"]
        states = {file["path"]: file["state"] for file in shown}
        self.assertEqual(states["outputs/file-to-folder"], "gone")
        self.assertEqual(states["outputs/file-to-folder/in"], "stored")

    def test_a_collector_that_is_killed_again_and_again_has_every_byte_once(self):
        chance = random.Random(6)
        for _ in range(muster_test.ROUNDS // 2 + 1):
            relay, address = self.start_relay()
            running = self.run_flood(48, ["--collector", address])
            while running.process.poll() is None and self.relays < 8:
                time.sleep(chance.uniform(0.02, 0.3))
                self.end_relay(relay, signal.SIGKILL)
                time.sleep(chance.uniform(0, 0.1))
                relay, _ = self.start_relay()
            result = running.wait(120)
            self.assert_code(result, 0)
            for rank in (0, 1):
                self.assert_flood(self.stored(rank), rank, 48 * MIB)
                self.assertEqual(ledger(self.store / "r", f"ranks/{rank:05d}/attempt-0/stdout.log")[0],
                                 [])
            self.end_relay(relay)
            shutil.rmtree(self.store)
            shutil.rmtree(self.runs_dir)
            self.relays = 0

    def test_a_collector_that_comes_late_gets_what_it_missed(self):
        running = self.start_muster(
            ["run", "-n", "1", "--run-id", "r", "--collector", self.address, "--",
             muster_test.PYTHON, "-c",
             "import time; print('early', flush=True); time.sleep(1.5); print('late')"])
        wait_until(lambda: b"is not there" in running.output(), 20, "the warning")
        relay, _ = self.start_relay()
        result = running.wait(60)
        self.assert_code(result, 0)
        self.assertEqual(result.stderr.count("is not there"), 1)
        self.assertEqual(self.stored(0).read_text(), "early\nlate\n")
        self.end_relay(relay)

    def test_followers_at_the_receiver_see_lines_live_and_end_with_the_run(self):
        relay, address = self.start_relay()
        running = self.start_muster(
            ["run", "-n", "1", "--run-id", "r", "--collector", address, "--console", "none", "--",
             muster_test.PYTHON, "-c",
             "import sys; print('first', flush=True); sys.stdin.readline()\n"
             "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\nprint('last')"])
        wait_until(lambda: self.stored(0).exists() and self.stored(0).read_text() == "first\n", 20,
                   "the first line at the receiver")
        # Whole files appear when they are on the disk.
        wait_until(lambda: (self.store / "r/run.json").exists(), 20, "run.json at the receiver")
        follower = self.start_muster(["logs", "--follow", str(self.store / "r")])
        wait_until(lambda: b"first" in follower.output(), 20, "the first line at the follower")
        self.assertIsNone(follower.process.poll())
        (self.work_dir / "go").touch()
        self.assert_code(running.wait(60), 0)
        end = follower.wait(30)
        self.assertEqual((end.code, end.stdout), (0, "first\nlast\n"))
        self.end_relay(relay)

    def test_over_tls_and_tcp_with_a_token(self):
        token = self.directory / "token"
        made = self.run_muster(["token", "--output", str(token)])
        self.assert_code(made, 0)
        for scheme in ("tls", "tcp"):
            store = self.directory / scheme
            relay, address = self.start_relay(f"{scheme}:127.0.0.1:0", store,
                                              ["--token-file", str(token)])
            result = self.run_muster(["run", "-n", "1", "--run-id", scheme, "--collector", address,
                                      "--token-file", str(token), "--", "echo", scheme])
            self.assert_code(result, 0)
            self.assertEqual(self.stored(0, run=scheme, store=store).read_text(), scheme + "\n")
            self.end_relay(relay)

    def test_two_writers_of_one_name(self):
        size = 100_000
        ours = f"mkdir -p outputs; '{program('flood')}' --bytes {size * 2} > outputs/model"

        def other_writer(address):
            done = subprocess.run(
                [program("send_flood"), address, "r", "--bytes", str(size), "--file",
                 "outputs/model", "--writer", "node-1", "--rank", "4"],
                env=self.environment(), capture_output=True, check=False)
            self.assertEqual(done.returncode, 0, done)

        # The lowest rank's file keeps the name, whatever came first.
        for first in (True, False):
            with self.subTest(other_first=first):
                store = self.directory / f"store-{first}"
                relay, address = self.start_relay(store=store)
                if first:
                    other_writer(address)
                result = self.run_muster(["run", "-n", "1", "--run-id", "r", "--collector", address,
                                          "--", "sh", "-c", ours])
                self.assert_code(result, 0)
                if not first:
                    other_writer(address)
                there = store / "r"
                self.assert_flood(there / "outputs/model", 0, size * 2)
                self.assert_flood(there / "outputs/model.rank-4", 0, size)
                self.verify(there)
                files = json.loads(self.run_muster(["files", there, "--json"]).stdout)
                self.assertIn("outputs/model.rank-4", json.dumps(files))
                self.end_relay(relay)
                shutil.rmtree(self.runs_dir)

    def test_the_record_of_a_background_is_whole_there(self):
        relay, address = self.start_relay()
        started = self.run_muster(["run", "--detach", "-n", "1", "--run-id", "r", "--collector",
                                   address, "--", "echo", "hello"])
        self.assert_code(started, 0)
        wait_until(lambda: [each for each in self.processes() if each.pid != relay.pid] == [], 30,
                   "the end of the run")
        self.assert_same_run(self.runs_dir / "r", self.store / "r")
        self.assertIn("delivered to the collector",
                      "".join(path.read_text() for path in (self.store / "r/launcher").iterdir()))
        self.end_relay(relay)

    def test_a_relay_says_what_is_not_taken_above(self):
        top = self.directory / "top"
        (top / "r/outputs/model").mkdir(parents=True)
        (top / "r/outputs/model/of-another").touch()
        above, address_above = self.start_relay(f"unix:{self.directory}/top.sock", top)
        middle, address = self.start_relay(more=["--upstream", address_above])
        result = self.run_muster(["run", "-n", "1", "--run-id", "r", "--collector", address, "--",
                                  "sh", "-c", "mkdir -p outputs; echo model > outputs/model"])
        self.assert_code(result, 0)
        log = self.directory / "relay-2.log"
        wait_until(lambda: "has been passed on" in log.read_text(), 30, "the word of the relay")
        self.assertIn("has been passed on, but for 1 stream: `outputs/model` is not taken",
                      log.read_text())
        self.assertEqual((top / "r/run.json").read_bytes(),
                         (result.run_directory / "run.json").read_bytes())
        self.end_relay(middle)
        self.end_relay(above)

    def test_a_tree_of_relays(self):
        top = self.directory / "top"
        above, address_above = self.start_relay(f"unix:{self.directory}/top.sock", top)
        middle, address = self.start_relay(more=["--upstream", address_above])
        code = ("import os, sys, time; os.makedirs('outputs', exist_ok=True)\n"
                "open('outputs/early', 'w').write('early' * 1000)\n"
                "for i in range(100):\n print('line', i, flush=True); time.sleep(0.02)\n"
                "while not os.path.exists('go'): time.sleep(0.02)\n"
                "open('outputs/late', 'w').write('late'); print('end', file=sys.stderr)")
        running = self.start_muster(["run", "-n", "1", "--run-id", "r", "--collector", address,
                                     "--console", "none", "--", muster_test.PYTHON, "-c", code])
        wait_until(lambda: self.stored(0, store=top).exists() and
                   self.stored(0, store=top).stat().st_size > 100, 30, "some lines at the top")
        self.end_relay(middle, signal.SIGKILL)
        middle, _ = self.start_relay(more=["--upstream", address_above])
        (self.work_dir / "go").touch()
        result = running.wait(60)
        self.assert_code(result, 0)
        wait_until(lambda: (top / "r/run.json").exists() and
                   (top / "r/run.json").read_bytes() == (result.run_directory / "run.json").read_bytes(),
                   60, "the run at the top")
        for there in (self.store / "r", top / "r"):
            self.assert_same_run(result.run_directory, there)
            self.verify(there)
        self.end_relay(middle)
        self.end_relay(above)

    def test_a_wrong_token_is_told_and_costs_the_run_nothing_but_its_delivery(self):
        tokens = [self.directory / name for name in ("one", "other")]
        for token in tokens:
            self.assert_code(self.run_muster(["token", "--output", str(token)]), 0)
        for scheme in ("tcp", "tls"):
            with self.subTest(scheme=scheme):
                relay, address = self.start_relay(f"{scheme}:127.0.0.1:0", None,
                                                  ["--token-file", str(tokens[0])])
                result = self.run_muster(["run", "-n", "1", "--collector", address, "--token-file",
                                          str(tokens[1]), "--", "echo", "hello"])
                self.assert_code(result, 76)
                self.assertIn("does not take this run", result.stderr)
                self.assertIn("the collector refuses: the run token is another one", result.stderr)
                # Not the line that was refused just now.
                self.assertIn("--token-file FILE` delivers the rest", result.stderr)
                self.assertEqual(result.rank_bytes(0), b"hello\n")
                self.end_relay(relay)

    def test_another_scheme_than_the_collectors_is_no_collector_that_is_away(self):
        token = self.directory / "token"
        self.assert_code(self.run_muster(["token", "--output", str(token)]), 0)
        options = ["--token-file", str(token)]
        for theirs, ours in (("tls", "tcp"), ("tcp", "tls")):
            with self.subTest(ours=ours):
                relay, address = self.start_relay(f"{theirs}:127.0.0.1:0", None, options)
                wrong = ours + address[3:]
                result = self.run_muster(["run", "-n", "1", "--collector", wrong, *options,
                                          "--drain-timeout", "300ms", "--", "echo", "hello"])
                self.assert_code(result, 76)
                synced = self.run_muster(["sync", result.run_directory, *options, "--patience", "300ms"])
                self.assert_code(synced, 76)
                for done in (result, synced):
                    self.assertNotIn("is not there", done.stderr)
                    self.assertIn(f"begins with {theirs}:", done.stderr)
                self.end_relay(relay)


@unittest.skipUnless(has_relay(), "this muster has no relay")
class Later(CollectorTest):
    def test_a_collector_that_never_comes_fails_the_run_and_sync_delivers_it(self):
        running = self.run_flood(2, ["--collector", self.address, "--drain-timeout", "500ms"])
        result = running.wait(60)
        self.assert_code(result, 76)
        self.assertIn("muster sync", result.stderr)
        self.assertIn("stdout.log", result.stderr)
        self.assertEqual(result.stderr.count("are not at the collector"), 1)
        self.assertEqual(result.run_json["exit_code"], 76)
        self.assertEqual(result.run_json["origin"], "muster")
        self.assertRegex(self.run_muster(["runs"]).stdout, r"\d+\.\d MiB undelivered")
        away = self.run_muster(["sync", "--patience", "300ms", str(result.run_directory)])
        self.assert_code(away, 76)
        relay, _ = self.start_relay()
        self.assert_code(self.run_muster(["sync", str(self.runs_dir)]), 0)
        for rank in (0, 1):
            self.assert_flood(self.stored(rank), rank, 2 * MIB)
        self.assertNotIn("undelivered", self.run_muster(["runs"]).stdout)
        # A collector that nobody reached does not take its place.
        nobody = self.run_muster(["sync", "--patience", "300ms", "--collector",
                                  f"unix:{self.directory}/nobody.sock", result.run_directory])
        self.assert_code(nobody, 76)
        # Nothing is left to do.
        again = self.run_muster(["sync", str(self.runs_dir)])
        self.assert_code(again, 0)
        self.assertIn("nothing to deliver", again.stderr)
        self.end_relay(relay)

    def test_a_name_that_is_not_taken_is_told_once_and_the_rest_arrives(self):
        relay, address = self.start_relay()
        # A folder with somebody's file in it is there where the file would have to go.
        running = self.start_muster(
            ["run", "-n", "1", "--run-id", "r", "--collector", address, "--console", "none", "--",
             "sh", "-c", "echo begin; while ! test -e go; do sleep 0.02; done; mkdir -p outputs; "
             "echo model > outputs/model; echo other > outputs/other"])
        wait_until(lambda: self.stored(0).exists() and self.stored(0).stat().st_size, 20, "a line")
        (self.store / "r/outputs/model").mkdir(parents=True)
        (self.store / "r/outputs/model/of-another").touch()
        (self.work_dir / "go").touch()
        result = running.wait(60)
        self.assert_code(result, 76)
        self.assertIn("did not take 1 stream: `outputs/model` is not taken", result.stderr)
        there = self.store / "r"
        self.assertEqual((there / "outputs/other").read_text(), "other\n")
        # The record there says so, too.
        for name in ("run.json", "report.txt", "events.jsonl"):
            self.assertEqual((there / name).read_bytes(), (result.run_directory / name).read_bytes())
        self.assertEqual(json.loads((there / "run.json").read_text())["exit_code"], 76)
        events = (there / "events.jsonl").read_text()
        self.assertEqual(events.count("outputs/model` is not taken"), 1)
        self.end_relay(relay)

    def test_ctrl_c_while_the_rest_is_delivered(self):
        running = self.run_flood(2, ["--collector", self.address, "--drain-timeout", "60s"])
        self.wait_said(running, "Ctrl-C: no longer")
        running.send(signal.SIGINT)
        result = running.wait(30)
        self.assert_code(result, 76)
        self.assertIn("is not waited for any longer", result.stderr)
        self.assertIn("muster sync", result.stderr)
        self.assertEqual(result.run_json["exit_code"], 76)
        self.deliver_later(result.run_directory)

    def test_ctrl_c_twice_ends_the_ranks_and_then_the_delivery(self):
        running = self.start_muster(
            ["run", "-n", "1", "--run-id", "r", "--collector", self.address, "--console", "none",
             "--drain-timeout", "60s", "--", "sh", "-c", "echo hello; exec sleep 600"])
        wait_until(lambda: (self.runs_dir / "r/ranks/00000/attempt-0/stdout.log").exists() and
                   (self.runs_dir / "r/ranks/00000/attempt-0/stdout.log").stat().st_size, 20, "hello")
        running.send(signal.SIGINT)
        self.wait_said(running, "Ctrl-C: no longer")
        running.send(signal.SIGINT)
        result = running.wait(30)
        self.assert_code(result, 130)
        self.assertIn("is not waited for any longer", result.stderr)
        self.assertIn("muster sync", result.stderr)
        self.deliver_later(result.run_directory)

    def deliver_later(self, run):
        """muster sync brings what is missing, and the collector's record is the launcher's."""
        before = (run / "run.json").read_bytes()
        relay, _ = self.start_relay()
        self.assert_code(self.run_muster(["sync", run]), 0)
        self.assertEqual((run / "run.json").read_bytes(), before)
        self.assert_same_run(run, self.store / "r")
        self.verify(self.store / "r")
        self.end_relay(relay)

    def test_a_collector_in_the_directory_of_the_runs_takes_nothing_and_says_why(self):
        relay, address = self.start_relay(store=self.runs_dir)
        result = self.run_muster(["run", "-n", "1", "--run-id", "r", "--collector", address, "--",
                                  "echo", "hello"])
        self.assert_code(result, 76)
        self.assertIn("own run directory, not a copy of one", result.stderr)
        self.assertNotIn("newer", result.stderr)
        self.assertEqual(result.rank_bytes(0), b"hello\n")
        self.end_relay(relay)

    def test_a_run_that_cannot_be_prepared_is_over_there_too(self):
        relay, address = self.start_relay()
        (self.work_dir / "datastores.yaml").write_text(
            "datastores:\n  none: {type: command, source: x, mount: ['false', '{source}', '{target}']}\n")
        (self.work_dir / "run.yaml").write_text(
            "command: echo hello\ninputs: {x: {path: 'datastore://none/x'}}\n")
        result = self.run_muster(["run", "--run-id", "r", "--collector", address, "run.yaml"])
        self.assertNotEqual(result.code, 0, result)
        self.assertEqual(result.run_json["status"], "failed")
        self.assert_same_run(result.run_directory, self.store / "r")
        self.assertEqual(json.loads((self.store / "r/run.json").read_text())["exit_code"], result.code)
        self.end_relay(relay)

    def test_a_record_that_was_cut_off_says_nothing_false(self):
        # The collector goes while a run is delivered, and comes back for its sync.
        relay, address = self.start_relay()
        running = self.run_flood(24, ["--collector", address, "--drain-timeout", "500ms"],
                                 extra=["--rate", "12M"])
        wait_until(lambda: (self.store / "r/run.json").exists(), 20, "run.json at the receiver")
        self.end_relay(relay, signal.SIGKILL)
        there = json.loads((self.store / "r/run.json").read_text())
        self.assertEqual(there["status"], "running")
        result = running.wait(60)
        self.assert_code(result, 76)
        self.assertEqual(json.loads((self.store / "r/run.json").read_text())["status"], "running")
        self.deliver_later(result.run_directory)
        self.assertEqual(json.loads((self.store / "r/run.json").read_text())["exit_code"], 76)

    def test_what_a_killed_launcher_left_is_delivered_with_ends_unknown(self):
        relay, address = self.start_relay()
        running = self.start_muster(
            ["run", "-n", "1", "--run-id", "r", "--collector", address, "--console", "none", "--",
             muster_test.PYTHON, "-c",
             "import sys, time\nfor i in range(10**9):\n print(i, flush=True); time.sleep(0.001)"])
        run = self.runs_dir / "r"
        stream = run / "ranks/00000/attempt-0/stdout.log"
        wait_until(lambda: stream.exists() and stream.stat().st_size > 2000, 20, "some lines")
        refused = self.run_muster(["sync", str(run)])
        self.assert_code(refused, 64)
        self.assertIn("goes on", refused.stderr)
        os.kill(running.pid, signal.SIGKILL)
        running.process.wait(20)
        self.assert_nothing_left_but(relay)
        self.assert_code(self.run_muster(["sync", str(run)]), 0)
        self.assertEqual(self.stored(0).read_bytes(), stream.read_bytes())
        for store in (run, self.store / "r"):
            gaps, end = ledger(store, "ranks/00000/attempt-0/stdout.log")
            self.assertEqual([(gap["from"], gap["to"], gap["reason"]) for gap in gaps],
                             [(stream.stat().st_size, None, "launcher_lost")])
            self.assertEqual(end["length"], stream.stat().st_size)
        self.end_relay(relay)

    def assert_nothing_left_but(self, relay):
        wait_until(lambda: [each for each in self.processes() if each.pid != relay.pid] == [], 20,
                   "the end of the killed launcher's processes")


@muster_test.needs_root
@unittest.skipUnless(has_relay(), "this muster has no relay")
class FullDisk(CollectorTest):
    """F14, with a launcher: the collector's disk has no room for a while."""

    def start_relay_on(self, disk):
        log = self.directory / "relay.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [*disk.inside, MUSTER, "relay", "--listen", self.address, "--store",
                 str(disk.path / "store")], env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, start_new_session=True)
        self.addCleanup(muster_test.end, process)
        wait_until(lambda: "listens on" in log.read_text(), 20, "the relay listening")
        return process, log

    def events(self):
        path = self.runs_dir / "r/events.jsonl"
        return [json.loads(line)["event"] for line in path.read_text().splitlines()]

    def test_it_is_told_at_both_ends_and_the_rest_follows(self):
        disk = SmallDisk(self, "24m")
        disk.fill(20)
        relay, log = self.start_relay_on(disk)
        running = self.start_muster(
            ["run", "-n", "1", "--run-id", "r", "--collector", self.address, "--console", "none", "--",
             "sh", "-c", f"'{program('flood')}' --bytes {8 * MIB}; "
             "while ! test -e go; do sleep 0.02; done"])
        self.wait_said(running, "takes less for now")
        wait_until(lambda: "disk_full" in log.read_text(), 20, "the relay's word")
        shown = self.run_muster(["status", self.runs_dir / "r"])
        self.assertIn("takes less for now", shown.stdout)
        disk.free()
        (self.work_dir / "go").touch()
        result = running.wait(60)
        self.assert_code(result, 0)
        self.assertIn("No space left", result.stderr)
        events = [event for event in self.events()
                  if event in ("collector_full", "collector_has_room", "delivered")]
        self.assertEqual(events[-3:], ["collector_full", "collector_has_room", "delivered"])
        self.assertLess(len(events), 8)
        self.assertEqual(result.stderr.count("takes less for now"), 1)
        wait_until(lambda: log.read_text().rfind("disk_has_room") >
                   log.read_text().rfind("disk_full"), 20, "the relay's word that there is room")
        self.end_relay(relay)

    def test_full_from_the_beginning_it_is_there_and_takes_nothing(self):
        disk = SmallDisk(self, "4m")
        relay, log = self.start_relay_on(disk)
        disk.fill(8)
        result = self.start_muster(
            ["run", "-n", "1", "--run-id", "r", "--collector", self.address, "--drain-timeout",
             "100ms", "--", "sleep", "2.5"]).wait(60)
        self.assert_code(result, 76)
        self.assertEqual(result.stderr.count("takes nothing now ("), 1)
        self.assertNotIn("is not there", result.stderr)
        self.assertNotIn(" is there", result.stderr)
        self.assertIn("No space left", (result.run_directory / "report.txt").read_text())
        self.assertNotIn("collector_connected", self.events())
        self.assertIn("disk_full", log.read_text())
        disk.free()
        self.assert_code(self.run_muster(["sync", result.run_directory]), 0)
        self.end_relay(relay)


@unittest.skipUnless(has_relay(), "this muster has no relay")
class Bound(CollectorTest):
    def test_the_oldest_bytes_go_when_the_collector_is_away(self):
        running = self.run_flood(24, ["--collector", self.address, "--drain-timeout", "200ms",
                                      "--set", "streams.max_size=4m"], ranks=1,
                                 extra=["--rate", "16M"])
        result = running.wait(60)
        self.assert_code(result, 76)
        name = "ranks/00000/attempt-0/stdout.log"
        ours = result.run_directory
        gaps, _ = ledger(ours, name)
        self.assertNotEqual(gaps, [])
        self.assertEqual({gap["reason"] for gap in gaps}, {"overflow"})
        relay, _ = self.start_relay()
        self.assert_code(self.run_muster(["sync", str(ours)]), 0)
        there, _ = ledger(self.store / "r", name)
        missing = sum(gap["to"] - gap["from"] for gap in there)
        incomplete = result.run_json["incomplete"]
        self.assertEqual(incomplete["dropped_bytes"], missing)
        # Two that meet are one, and in the ledger two.
        self.assertIn(incomplete["dropped_ranges"], range(1, len(gaps) + 1))
        self.assertIn("dropped for want of room", result.stderr)
        # What was dropped is not to be delivered any more.
        self.assertLess(incomplete["undelivered_bytes"], 5 * MIB)
        self.assertEqual(missing, sum(gap["to"] - gap["from"] for gap in gaps))
        # What is stored is right, byte for byte.
        data = self.stored(0).read_bytes()
        self.assertEqual(len(data), 24 * MIB)
        expected = muster_test.flood_bytes(0, 0, 24 * MIB).tobytes()
        at = 0
        for gap in there:
            self.assertTrue(data[at:gap["from"]] == expected[at:gap["from"]])
            at = gap["to"]
        self.assertTrue(data[at:] == expected[at:])
        self.end_relay(relay)

    def test_it_is_kept_and_the_ledger_is_true_while_a_collector_stops_and_goes_on(self):
        bound = 8 * MIB
        relay, address = self.start_relay()
        running = self.run_flood(64, ["--collector", address, "--set", "streams.max_size=8m"],
                                 ranks=1, extra=["--rate", "32M"])
        stream = self.runs_dir / "r/ranks/00000/attempt-0/stdout.log"
        most = 0
        for start in (16 * MIB, 40 * MIB):
            wait_until(lambda: stream.exists() and stream.stat().st_size > start, 30, "some bytes")
            relay.send_signal(signal.SIGSTOP)
            time.sleep(0.6)
            most = max(most, stream.stat().st_blocks * 512)
            relay.send_signal(signal.SIGCONT)
        result = running.wait(60)
        self.assert_code(result, 0)
        # Between two looks a flood goes on.
        self.assertLess(most, bound + 16 * MIB)
        self.assertLess(stream.stat().st_blocks * 512, bound + MIB)
        # What the ledger says is gone takes no room, and the rest is there.
        records = [json.loads(line) for line in
                   (result.run_directory / ".muster/streams.jsonl").read_text().splitlines()]
        name = "ranks/00000/attempt-0/stdout.log"
        gone = [(0, record["freed"]["to"]) for record in records
                if record["stream"] == name and "freed" in record]
        self.assertNotEqual(gone, [])
        gone += [(gap["from"], gap["to"]) for gap in ledger(result.run_directory, name)[0]]
        expected = muster_test.flood_bytes(0, 0, 64 * MIB).tobytes()
        stored = stream.read_bytes()
        at = kept = 0
        for begin, end in [*sorted(gone), (64 * MIB, 64 * MIB)]:
            if begin > at:
                self.assertTrue(stored[at:begin] == expected[at:begin], at)
                kept += begin - at
            at = max(at, end)
        self.assertLessEqual(abs(stream.stat().st_blocks * 512 - kept), 64 << 10)
        self.verify(result.run_directory)
        self.verify(self.store / "r")
        self.end_relay(relay)

    def test_what_a_collector_loses_after_all_is_told(self):
        relay, _ = self.start_relay()
        running = self.run_flood(16, ["--collector", self.address, "--set", "streams.max_size=1m"],
                                 ranks=1, extra=["--rate", "4M"])
        name = "ranks/00000/attempt-0/stdout.log"
        records = self.runs_dir / "r/.muster/streams.jsonl"
        wait_until(lambda: records.exists() and '"freed"' in records.read_text(), 30,
                   "bytes that are there alone")
        self.end_relay(relay, signal.SIGKILL)
        shutil.rmtree(self.store / "r")  # a backup of before, say
        relay, _ = self.start_relay()
        result = running.wait(60)
        self.assert_code(result, 76)
        self.assertIn("has lost", result.stderr)
        self.assertEqual((result.run_directory / "events.jsonl").read_text()
                         .count('"collector_rollback"'), 1)
        gaps, end = ledger(self.store / "r", name)
        self.assertEqual((gaps[0]["from"], gaps[0]["reason"]), (0, "collector_rollback"))
        self.assertEqual(end["length"], 16 * MIB)
        self.assertEqual(end["stored"], 16 * MIB - sum(gap["to"] - gap["from"] for gap in gaps))
        self.end_relay(relay)

    def test_ranks_wait_with_block_and_nothing_is_lost(self):
        running = self.run_flood(32, ["--collector", self.address, "--set", "streams.max_size=2m",
                                      "--set", "streams.when_full=block"], ranks=1)
        time.sleep(1)
        relay, _ = self.start_relay()
        result = running.wait(120)
        self.assert_code(result, 0)
        self.assert_flood(self.stored(0), 0, 32 * MIB)
        self.assertEqual(ledger(self.store / "r", "ranks/00000/attempt-0/stdout.log")[0], [])
        self.end_relay(relay)


class Words(MusterTest):
    """What needs no collector."""

    def test_nonsense_is_refused_before_anything_starts(self):
        for args, code, text in (
                (["--collector", "host:1"], 65, "no address of a collector"),
                (["--collector", "tls:host:1"], 65, "needs a token"),
                (["--collector", "tcp:host:1"], 65, "--insecure"),
                (["--set", "streams.max_size=10"], 65, "write 1m or more"),
                (["--set", "streams.when_full=drop"], 65, "drop_oldest or block"),
                (["--set", "streams.stall_budget=5s"], 65, "drop_oldest nobody waits")):
            with self.subTest(args=args):
                result = self.run_muster(["run", "-n", "1", *args, "--", "true"])
                self.assert_code(result, code)
                self.assertIn(text, result.stderr)
                self.assertEqual(self.run_directories(), [])

    def test_the_plan_shows_where_the_run_goes(self):
        plan = self.run_muster(["plan", "-n", "1", "--collector", "unix:/c", "--format", "json",
                                "--", "true"])
        self.assert_code(plan, 0)
        streams = json.loads(plan.stdout)["streams"]
        self.assertEqual(streams["collector"], "unix:/c")
        self.assertEqual(streams["max_size"], 8 << 30)
        self.assertEqual(streams["when_full"], "drop_oldest")

    def test_readers_are_told_where_bytes_are_missing(self):
        result = self.run_muster(["run", "-n", "1", "--run-id", "r", "--", muster_test.PYTHON,
                                  "-c", "print('hello\\n' * 682 + 'abc')"])
        self.assert_code(result, 0)
        log = result.rank_file(0)
        os.truncate(log, 1 << 20)
        with open(log, "ab") as file:
            file.write(b"end\n")
        if log.stat().st_blocks * 512 > MIB // 2:
            self.skipTest("this file system has no holes")
        with open(result.run_directory / ".muster/streams.jsonl", "a") as file:
            file.write(json.dumps({"stream": "ranks/00000/attempt-0/stdout.log",
                                   "gap": {"from": 4096, "to": 1 << 20, "reason": "overflow"}}) + "\n")
        logs = self.run_muster(["logs", "r"])
        self.assert_code(logs, 0)
        self.assertEqual(logs.stdout, "hello\n" * 682 + "abc\n" +
                         "… 1020.0 KiB are missing here (overflow) …\nend\n")
        raw = self.run_muster(["logs", "--raw", "r"])
        self.assertEqual(len(raw.stdout_bytes), (1 << 20) + 4)

    def test_sync_says_what_it_needs(self):
        self.assert_code(self.run_muster(["run", "-n", "1", "--run-id", "r", "--", "true"]), 0)
        result = self.run_muster(["sync", "r"])
        self.assert_code(result, 64)
        self.assertIn("--collector", result.stderr)

    def test_a_collector_that_is_away_does_not_keep_a_short_run_from_ending(self):
        result = self.run_muster(["run", "-n", "1", "--collector", "unix:/nowhere/c.sock",
                                  "--drain-timeout", "300ms", "--", "echo", "hello"])
        self.assert_code(result, 76)
        self.assertEqual(result.rank_bytes(0), b"hello\n")
        self.assertIn("muster sync", result.stderr)


if __name__ == "__main__":
    muster_test.main()
