"""Metrics: from what ranks write to what `muster metrics` shows, while they run and afterwards."""

import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
import unittest

import muster_test
from muster_test import MusterTest, needs_root, program, wait_until

RUN = ["run", "-n", "2", "--backend", "direct", "--"]
# Ten steps, then as the test wants it.
WRITES = """
i=1
while [ $i -le 10 ]; do echo "loss 0.$i $i" > "$MUSTER_METRICS"; i=$((i + 1)); done
printf '{"step": 1, "accuracy": NaN, "train": {"lr": 1e-3}}\\n' > "$MUSTER_METRICS"
"""
WAITS = "while [ ! -e go ]; do sleep 0.02; done"


def why_no_fuse():
    if not os.path.exists("/dev/fuse"):
        return "no /dev/fuse"
    if shutil.which("fusermount3") is None:
        return "no fusermount3 on PATH"
    return None if (muster_test.PROGRAMS_DIR / "plain_fuse").exists() else (
        "tests/programs/plain_fuse is not built (libfuse3-dev)")


class MetricsTest(MusterTest):
    def metrics(self, *words, code=0, env=None):
        result = self.run_muster(["metrics", *words], env=env)
        self.assert_code(result, code)
        return result

    def document(self, *words, env=None):
        return json.loads(self.metrics(*words, "--json", env=env).stdout)

    def counts(self, *words, env=None):
        """Name -> how many values, of all ranks."""
        return {each["name"]: each["count"] for each in self.document(*words, env=env)["metrics"]
                if each["source"] != "node"}

    def test_lines_of_ranks_are_shown_while_they_run_and_afterwards(self):
        running = self.start_muster([*RUN, "sh", "-c", WRITES + WAITS])
        wait_until(lambda: list(self.runs_dir.glob("*/run.json")), 20, "the run")
        # As the launcher has taken them, and what it has not yet.
        wait_until(lambda: self.counts().get("train/lr") == 2, 20, "both ranks' metrics")
        self.assertEqual(self.counts(), {"accuracy": 2, "loss": 20, "train/lr": 2})
        wait_until(lambda: (running.run_directory / "metrics.db").exists(), 20, "metrics.db")
        (self.work_dir / "go").touch()
        result = running.wait()
        self.assert_code(result, 0)
        self.assertEqual(result.run_json["attempts"][-1].get("warnings", []), [])
        self.assertEqual(self.counts(), {"accuracy": 2, "loss": 20, "train/lr": 2})
        self.assertEqual(self.counts("--rank", "1", "--name", "lo*"), {"loss": 10})
        # All in one file, which any SQLite reads.
        self.assertFalse((result.run_directory / "metrics.db-wal").exists())
        with sqlite3.connect(result.run_directory / "metrics.db") as database:
            self.assertEqual(database.execute(
                "SELECT rank, count(*) FROM points JOIN series ON id = series "
                "WHERE name = 'loss' GROUP BY rank").fetchall(), [(0, 10), (1, 10)])
        table = self.metrics("--name", "loss").stdout.splitlines()
        self.assertEqual(table[1].split(), ["loss", "2", "ranks", "20", "10", "0.1", "0.1", "0.1"])

    def test_shows_last_values_plots_and_exports(self):
        result = self.run_muster([*RUN, "sh", "-c", WRITES])
        self.assert_code(result, 0)
        lines = self.metrics("--last", "--name", "loss").stdout.splitlines()[1:]
        self.assertEqual([line.split()[:4] for line in lines],
                         [["loss", "0", "10", "0.1"], ["loss", "1", "10", "0.1"]])
        plot = self.metrics("--plot", "--name", "loss").stdout
        self.assertIn("step 1", plot)
        self.assertNotIn("\x1b", plot)
        self.assertTrue(all(len(line) <= 80 for line in plot.splitlines()), plot)
        points = self.document("--plot", "--name", "loss")["metrics"][0]["points"]
        self.assertEqual([(each["step"], each["mean"]) for each in points][:2],
                         [(1, 0.1), (2, 0.2)])
        rows = list(csv.DictReader(io.StringIO(self.metrics("--export", "csv").stdout)))
        self.assertEqual(sum(row["name"] == "loss" for row in rows), 20)
        self.metrics("--export", "jsonl", "--output", self.directory / "out.jsonl")
        out = (self.directory / "out.jsonl").read_text(encoding="utf-8").splitlines()
        self.assertEqual(len(out), len(rows))
        self.assertEqual({json.loads(line)["value"] for line in out
                          if json.loads(line)["name"] == "accuracy"}, {"NaN"})
        self.assertIn("24 new values in 2 folders",
                      self.metrics("--export", "tensorboard", "--rank", "0-1").stdout)
        self.assertIn("0 new values in 2 folders",
                      self.metrics("--export", "tensorboard", "--rank", "0-1").stdout)
        self.assertTrue(list(result.run_directory.glob("tb/rank-00001/*tfevents*")))

    def test_follows_new_values_until_the_run_ends(self):
        running = self.start_muster(
            [*RUN, "sh", "-c", f'echo "early 1" > "$MUSTER_METRICS"; {WAITS}; {WRITES}'])
        wait_until(lambda: list(self.runs_dir.glob("*/run.json")) and self.counts() == {"early": 2}, 20,
                   "the first values")
        follower = self.start_muster(["metrics", "--follow", "--name", "loss"])
        # Nothing tells when it has taken its first look; values that come later are told.
        time.sleep(1)
        (self.work_dir / "go").touch()
        self.assert_code(running.wait(), 0)
        told = follower.wait(30)
        self.assert_code(told, 0)
        self.assertIn("[1] loss 10 0.1\n", told.stdout)
        self.assertNotIn("early", told.stdout)

    def test_patterns_find_metrics_in_what_ranks_print(self):
        (self.work_dir / "run.yaml").write_text(
            "command: \"printf 'step 1 loss=0.5\\\\rstep 2 loss=0.25\\\\nacc: 0.9\\\\n'\"\n"
            "metrics: {patterns: [{name: loss, regex: 'loss=([0-9.]+)'}]}\n", encoding="utf-8")
        result = self.run_muster(["run", "run.yaml"])
        self.assert_code(result, 0)
        self.assertEqual(self.counts(), {"loss": 2})
        self.assertEqual(self.counts("--pattern", "acc=acc: ([0-9.]+)"), {"acc": 1, "loss": 2})
        self.assertEqual(self.counts(), {"acc": 1, "loss": 2})
        # Made anew from what is stored, with the patterns of the run's plan.
        (result.run_directory / "metrics.db").unlink()
        self.assertEqual(self.counts(), {"loss": 2})

    def test_bad_lines_are_counted_and_shown(self):
        result = self.run_muster(
            ["run", "--", "sh", "-c", 'printf "loss 1\\nthe loss is 3\\n" > "$MUSTER_METRICS"'])
        self.assert_code(result, 0)
        self.assertIn("1 line could not be understood", result.stderr)
        shown = self.metrics()
        self.assertIn("`the loss is 3`: its second word is no number", shown.stderr)
        self.assertEqual(self.document()["bad_lines"][0]["count"], 1)

    def test_what_a_killed_launcher_left_is_taken_afterwards(self):
        running = self.start_muster([*RUN, "sh", "-c", WRITES + WAITS])
        wait_until(lambda: list(self.runs_dir.glob("*/run.json")) and self.counts().get("train/lr") == 2, 20,
                   "the metrics")
        running.send(signal.SIGKILL)
        running.process.wait()
        self.assertEqual(self.counts(), {"accuracy": 2, "loss": 20, "train/lr": 2})
        database = running.run_directory / "metrics.db"
        database.write_bytes(b"no database" * 1000)
        for suffix in ("-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        shown = self.metrics()
        self.assertIn("metrics-damaged-1.db", shown.stderr)
        self.assertEqual(self.counts(), {"accuracy": 2, "loss": 20, "train/lr": 2})

    def test_a_run_without_metrics_has_no_database(self):
        result = self.run_muster(["run", "--", "true"])
        self.assertEqual(list(result.run_directory.glob("metrics*")), [])
        self.assertEqual(self.counts(), {})
        self.assertIn("MUSTER_METRICS", self.metrics().stderr)
        self.assertEqual(list(result.run_directory.glob("metrics*")), [])

    @needs_root
    def test_another_users_run_directory_is_only_read(self):
        result = self.run_muster([*RUN, "sh", "-c", WRITES])
        (result.run_directory / "metrics.db").unlink()
        os.chown(result.run_directory, 65534, 65534)
        cache = {"MUSTER_CACHE_DIR": self.directory / "cache"}
        self.assertEqual(self.counts(env=cache)["loss"], 20)
        self.assertEqual(list((self.directory / "cache/metrics").iterdir()), [])

    def test_refuses_what_makes_no_sense(self):
        self.run_muster(["run", "--", "true"])
        for words, hint in ((["--plot", "--last"], "exclude each other"),
                            (["--rank", "x"], "no list of ranks"),
                            (["--since", "noon"], "neither a time nor a span"),
                            (["--pattern", "a=(b"], "no regular expression"),
                            (["--pattern", "hugingface"], "no pattern"),
                            (["--output", "x"], "needs --export")):
            with self.subTest(words=words):
                self.assertIn(hint, self.metrics(*words, code=64).stderr)


@unittest.skipIf(why_no_fuse(), why_no_fuse())
class FuseTest(MusterTest):
    """A run directory where neither locks nor shared memory maps work."""

    def setUp(self):
        super().setUp()
        self.real = self.directory / "real"
        self.real.mkdir()
        self.runs_dir.mkdir()
        mounted = subprocess.run([program("plain_fuse"), "-o", f"source={self.real}",
                                  str(self.runs_dir)], capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"FUSE does not work here: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["fusermount3", "-u", "-z", str(self.runs_dir)],
                        check=True)

    def test_the_mount_has_neither_locks_nor_maps(self):
        import fcntl
        import mmap
        with open(self.runs_dir / "file", "w+b") as file:
            file.write(b"x" * 4096)
            file.flush()
            with self.assertRaises(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with self.assertRaises(OSError):
                mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED)

    def test_a_whole_run_with_its_metrics(self):
        cache = {"MUSTER_CACHE_DIR": self.directory / "cache"}
        running = self.start_muster(
            [*RUN, "sh", "-c", f'{WRITES} echo done; mkdir -p outputs; '
                               f'[ "$RANK" = 1 ] || echo model > outputs/model; {WAITS}'], env=cache)
        # Published as a snapshot while it runs.
        wait_until(lambda: list(self.real.glob("*/metrics.db")), 30, "the snapshot")
        (self.work_dir / "go").touch()
        result = running.wait()
        self.assert_code(result, 0)
        run = self.real / result.run_directory.name
        self.assertEqual((run / "ranks/00001/attempt-0/stdout.log").read_bytes(), b"done\n")
        self.assertEqual((run / "outputs/model").read_bytes(), b"model\n")
        with sqlite3.connect(run / "metrics.db") as database:
            self.assertEqual(database.execute(
                "SELECT count(*) FROM points JOIN series ON id = series "
                "WHERE name = 'loss'").fetchall(), [(20,)])
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        # Neither a log beside it, nor a temporary file, nor anything in the cache is left.
        self.assertEqual([path.name for path in run.glob("metrics*")], ["metrics.db"])
        self.assertEqual(list((run / ".muster").glob("metrics*")), [])
        self.assertEqual(list((self.directory / "cache/metrics").iterdir()), [])
        shown = self.run_muster(["metrics", "--name", "loss"], env=cache)
        self.assertIn("2 ranks", shown.stdout)
        logs = self.run_muster(["logs", "--rank", "1", "--stream", "stdout"])
        self.assertEqual(logs.stdout, "done\n")
        self.assertIn("succeeded", self.run_muster(["runs"]).stdout)


if __name__ == "__main__":
    muster_test.main()
