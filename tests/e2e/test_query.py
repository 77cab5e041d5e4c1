"""What the query commands say of a run is true, and where it cannot be told they say so."""

import json
import os
import shutil
import signal
import subprocess

import muster_test
from muster_test import MUSTER, MusterTest, needs_root, wait_until

NOBODY = 65534

WRITES = """
mkdir -p outputs/ckpt-1 logs
[ "$RANK" = 0 ] || exit 0
head -c 1000 /dev/zero > outputs/ckpt-1/a.bin
echo growing > logs/t.txt
echo some text > outputs/m.txt
seq 2000
echo to stderr >&2
"""

# U+009B, U+202E and U+2069, which steer a terminal or turn its text around.
STEERS = r"printf 'a\302\233b\342\200\256c\342\201\251d\033[2Jé\n'"


class QueryTest(MusterTest):
    def ran(self, command, *options, ranks=1):
        result = self.run_muster(["run", "-n", ranks, "--backend", "direct", "--console", "none",
                                  *options, "--", "sh", "-c", command])
        self.assert_code(result, 0)
        return result.run_directory

    def muster(self, *words, code=0, **keywords):
        result = self.run_muster(list(words), **keywords)
        self.assert_code(result, code)
        return result

    def lost(self, command):
        """The directory of a run whose launcher was killed while a rank slept."""
        running = self.start_muster(["run", "--console", "none", "--", "sh", "-c",
                                     command + "; touch \"$0\"; sleep 600",
                                     self.directory / "said"])
        wait_until((self.directory / "said").exists, 60, "the rank")
        directory = running.run_directory
        running.send(signal.SIGKILL)
        running.wait()
        return directory


class Copies(QueryTest):
    def test_what_was_changed_is_not_handed_out(self):
        run = self.ran(WRITES)
        for path in ("outputs/ckpt-1/a.bin", "logs/t.txt", "ranks/00000/attempt-0/stdout.log"):
            to = self.directory / "to"
            self.muster("download", run, path, to)
            to.unlink()
            with open(run / path, "ab") as stored:
                stored.write(b"y")
            said = self.muster("download", run, path, to, code=74).stderr
            self.assertIn("has other bytes than were stored", said)
            self.assertFalse(to.exists())
            self.assertIn(path, self.muster("verify", run, code=70).stdout)
            self.assertIn("has other bytes", self.muster("download", run, path, "-", code=74).stderr)

    def test_patterns_take_what_files_shows(self):
        run = self.ran(WRITES)
        for pattern in ("*.txt", "*", "ckpt-*", "outputs/*"):
            shown = json.loads(self.muster("files", run, pattern, "--json").stdout)["files"]
            to = self.directory / pattern.replace("*", "all").replace("/", "-")
            to.mkdir()
            self.muster("download", run, pattern, to)
            copied = [path for path in to.rglob("*") if path.is_file()]
            self.assertEqual(len(copied), len(shown), (pattern, copied, shown))

    def test_places_and_mistakes_are_named(self):
        self.ran(WRITES)
        self.assertIn("in d5\n", self.muster("download", "latest", "m.txt", "d5").stderr)
        (self.work_dir / "dd").mkdir()
        self.assertIn("in dd/m.txt\n", self.muster("download", "latest", "m.txt", "dd/").stderr)
        (self.work_dir / "dd/m.txt").write_text("mine")
        said = self.muster("download", "latest", "m.txt", "dd/", code=64).stderr
        self.assertIn("dd/m.txt is there already", said)
        said = self.muster("download", "nosuch", "x", code=64).stderr
        self.assertIn("`nosuch` is no run, and the latest one, ", said)
        said = self.muster("download", "latest", "m.txt", "none/here.txt", code=73).stderr
        self.assertIn("there is no folder none", said)
        self.assertIn("hint: make it", said)


class Words(QueryTest):
    def test_words_that_are_easily_typed(self):
        run = self.ran(WRITES, ranks=2)
        self.assertEqual(self.muster("logs", run, "--rank", "0, 1", "--stream", "err",
                                     "--no-prefix").stderr, "to stderr\n")
        shown = self.muster("logs", run, "--stream", "launcher,events,mpirun,metrics").stdout
        self.assertIn("[events] ", shown)
        said = self.muster("logs", "", code=64).stderr
        self.assertIn("the run's name is empty", said)
        status = json.loads(self.muster("status", os.path.relpath(run, self.work_dir),
                                        "--json").stdout)
        self.assertEqual(status["run_directory"], str(run))

    def test_no_text_steers_a_terminal(self):
        run = self.ran(STEERS)
        shown = self.muster("logs", run).stdout
        self.assertEqual(shown, "a\\xc2\\x9bb\\xe2\\x80\\xaec\\xe2\\x81\\xa9d^[[2Jé\n")
        line = self.muster("logs", run, "--json").stdout
        self.assertIn('"a\\u009bb\\u202ec\\u2069d\\u001b[2Jé"', line)
        self.assertEqual(json.loads(line)["text"], "a\x9bb\u202ec\u2069d\x1b[2Jé")


class Records(QueryTest):
    def verify(self, run, code=0):
        result = self.muster("verify", run, "--json", code=code)
        return json.loads(result.stdout), self.muster("verify", run, code=code).stdout

    def test_what_has_no_record_is_not_judged_sound(self):
        run = self.lost("echo hello")
        check, text = self.verify(run)
        self.assertIn("not checked (no end record)", text)
        self.assertIn("not checked: ", text)
        self.assertNotIn("everything is as its records say", text)
        self.assertGreater(check["unchecked"]["bytes"], 0)
        self.assertIn("was killed", self.muster("files", run).stderr)
        self.assertIn("is gone: no more will come", self.muster("metrics", run, "--follow").stderr)

    def test_records_that_were_lost_are_missed(self):
        run = self.ran(WRITES)
        self.assertIn("everything is as its records say", self.verify(run)[1])
        ledger = run / ".muster/streams.jsonl"
        kept = ledger.read_bytes()
        ledger.unlink()
        check, text = self.verify(run, code=70)
        self.assertFalse(check["ok"])
        self.assertIn("no record of the end", text)
        ledger.write_bytes(kept)
        shutil.rmtree(run / ".muster")
        self.verify(run, code=70)

    def test_a_file_that_is_cut_or_gone_is_told(self):
        run = self.ran(WRITES)
        stdout = run / "ranks/00000/attempt-0/stdout.log"
        size = stdout.stat().st_size
        os.truncate(stdout, 100)
        shown = self.muster("logs", run, "--stream", "out").stdout
        self.assertTrue(shown.endswith("are missing here (its file was cut) …\n"), shown[-200:])
        gap = json.loads(self.muster("logs", run, "--stream", "out", "--json")
                         .stdout.splitlines()[-1])
        self.assertEqual((gap["offset"], gap["gap"]["bytes"]), (100, size - 100))
        stdout.unlink()
        shown = self.muster("logs", run, "--stream", "out").stdout
        self.assertIn("are missing here (its file is gone) …", shown)
        self.assertEqual(self.muster("logs", run, "--stream", "out", "--raw").stdout, "")


class Denied(QueryTest):
    def as_nobody(self, *words, code):
        return self.muster(*words, code=code, prefix=["setpriv", f"--reuid={NOBODY}",
                                                      "--clear-groups"])

    @needs_root
    def test_what_may_not_be_read_is_said(self):
        self.directory.chmod(0o755)
        if subprocess.run(["setpriv", f"--reuid={NOBODY}", "--clear-groups", MUSTER, "--version"],
                          env=self.environment(), capture_output=True, check=False).returncode != 0:
            self.skipTest("another user cannot execute this muster")
        run = self.ran("echo loss 1 > \"$MUSTER_METRICS\"; echo hello")
        for above in [run, *run.parents]:
            if above == self.directory.parent:
                break
            above.chmod(0o755)
        said = self.as_nobody("metrics", run, "--export", "tensorboard", code=77).stderr
        self.assertIn("--output DIR", said)
        (run / "ranks/00000/attempt-0/stdout.log").chmod(0o600)
        self.assertIn("ermission", self.as_nobody("logs", run, code=77).stderr)
        self.assertIn("may not be read", self.as_nobody("verify", run, code=77).stderr)
        (run / "run.json").chmod(0o600)
        self.assertIn("ermission", self.as_nobody("status", run, code=77).stderr)
        self.assertIn("ermission", self.as_nobody("logs", run, code=77).stderr)
        run.chmod(0o700)
        said = self.as_nobody("runs", "--runs-dir", run.parent, code=0).stderr
        self.assertIn("1 run there may not be opened", said)

    def test_a_full_stdout_has_one_sentence(self):
        run = self.ran("echo loss 1 > \"$MUSTER_METRICS\"; echo hello")
        for words in (["logs", run], ["metrics", run, "--export", "csv"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([MUSTER, *words], stdout=full, stderr=subprocess.PIPE,
                                      env=self.environment(), cwd=self.work_dir, check=False)
            self.assertEqual(done.returncode, 70, words)
            self.assertIn("writing to stdout: No space left", done.stderr.decode())


class NotThere(QueryTest):
    def test_what_there_is_none_of_is_said(self):
        run = self.ran("echo loss 1 > \"$MUSTER_METRICS\"")
        said = self.muster("metrics", run, "--rank", "7", code=64).stderr
        self.assertIn("has no rank 7", said)
        self.assertIn("it has 1 rank", said)
        said = self.muster("runs", "--since", "2200-01-01").stderr
        self.assertIn("none of the 1 run in ", said)
        self.assertIn("none of the 1 run in ", self.muster("runs", "--status", "failed").stderr)


if __name__ == "__main__":
    muster_test.main()
