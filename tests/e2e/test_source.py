"""source_directory: what of it is copied, what is refused before anything is, and what of it is put
on record."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import muster_test
from muster_test import MusterTest

LIST = "find . -mindepth 1 | LC_ALL=C sort"


class SourceTest(MusterTest):
    def write(self, name, text="x\n", mode=0o644):
        path = self.work_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def muster(self, *words, command=LIST, lines=(), env=None, verb="run"):
        self.write("run.yaml", "\n".join(["source_directory: src", f"command: {command}", *lines]))
        return self.run_muster([verb, "run.yaml", *words], cwd=self.work_dir, env=env)

    def copied(self, result):
        self.assert_code(result, 0)
        names = result.rank_bytes(0).decode().split("\n")
        return [name[2:] for name in names if name and name not in ("./outputs", "./logs")]

    def git(self, *words, cwd="src"):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("GIT_")}
        environment.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
        done = subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org",
                               "-C", self.work_dir / cwd, *words],
                              env=environment, capture_output=True, check=True)
        return done.stdout.decode().strip()


class WhatIsCopied(SourceTest):
    def test_gitignore_rules_decide_unless_there_is_an_amlignore(self):
        self.write("src/.gitignore", "# data\n*.bin\n/build/\n!keep.bin\n")
        for name in ("train.py", "a.bin", "keep.bin", "build/x", "lib/build/y", "lib/z.bin"):
            self.write(f"src/{name}")
        self.write("src/lib/.gitignore", "!z.bin\n")
        self.assertEqual(self.copied(self.muster()), [
            ".gitignore", "keep.bin", "lib", "lib/.gitignore", "lib/build", "lib/build/y",
            "lib/z.bin", "train.py"])
        self.write("src/.amlignore", "lib\n")
        result = self.muster()
        self.assertEqual(self.copied(result), [
            ".amlignore", ".gitignore", "a.bin", "build", "build/x", "keep.bin", "train.py"])
        self.assertEqual(result.run_json["source"]["ignore_file"], ".amlignore")

    def test_git_and_runs_are_never_source(self):
        self.write("src/train.py")
        self.write("src/.git/HEAD")
        self.runs_dir = self.work_dir / "src/my-runs"
        for _ in range(2):
            self.assertEqual(self.copied(self.muster(env={"MUSTER_RUNS_DIR": self.runs_dir})),
                             ["train.py"])

    def test_links_inside_stay_links(self):
        self.write("src/lib/a.txt", "text\n")
        (self.work_dir / "src/a").symlink_to("lib/a.txt")
        (self.work_dir / "src/lib/up").symlink_to("../lib")
        result = self.muster(command="readlink a lib/up; cat a lib/up/a.txt")
        self.assert_code(result, 0)
        self.assertEqual(result.rank_bytes(0), b"lib/a.txt\n../lib\ntext\ntext\n")

    def test_two_thousand_files(self):
        for i in range(2000):
            self.write(f"src/{i % 40}/{i}.py", f"{i}\n")
        result = self.muster(command="find . -name '*.py' | wc -l")
        self.assert_code(result, 0)
        self.assertEqual(result.rank_bytes(0).strip(), b"2000")
        self.assertEqual(result.run_json["source"]["files"], 2000)


class WhatIsRefused(SourceTest):
    def assert_refused(self, result):
        self.assert_code(result, 74)
        self.assertEqual(self.run_directories(), [])  # before anything was made

    def test_a_source_beyond_its_limits(self):
        for i in range(30):
            self.write(f"src/data/{i}")
        self.write("src/model.bin", "x" * 5000)
        self.write("src/train.py")
        for verb in ("plan", "run"):
            result = self.muster(lines=["source: {limit_files: 30}"], verb=verb)
            self.assert_refused(result)
            self.assertIn("has 32 files, 4.9 KiB, and at most 30 files (source.limit_files) are "
                          "copied; the largest: model.bin (4.9 KiB), data/ (30 files, 60 B)",
                          result.stderr)
            self.assertIn("run.yaml:1:19: source_directory: src", result.stderr)
            self.assertIn("--in-place", result.stderr)
        result = self.muster("--set", "source.limit_bytes=4k")
        self.assert_refused(result)
        self.assertIn("at most 4.0 KiB (source.limit_bytes)", result.stderr)
        # What the hint says helps.
        self.write("src/.amlignore", "data\n")
        self.assert_code(self.muster(lines=["source: {limit_files: 30}"]), 0)

    def test_links_that_lead_out(self):
        self.write("src/lib/a")
        self.write("outside")
        (self.work_dir / "src/out").symlink_to("../outside")
        (self.work_dir / "src/absolute").symlink_to(self.work_dir / "src/lib")
        result = self.muster()
        self.assert_refused(result)
        self.assertIn("2 links in source_directory", result.stderr)
        self.assertIn("out -> ../outside", result.stderr)
        self.assertIn(f"absolute -> {self.work_dir}/src/lib", result.stderr)
        self.write("src/.gitignore", "out\nabsolute\n")
        self.assertEqual(self.copied(self.muster()), [".gitignore", "lib", "lib/a"])


class WhatIsRecorded(SourceTest):
    def setUp(self):
        super().setUp()
        if shutil.which("git") is None:
            self.skipTest("no git")

    def test_the_hash_is_that_of_what_was_copied(self):
        self.write("src/train.py")
        self.write("src/run.sh", mode=0o755)
        self.write("src/big.log", "left out")
        self.write("src/.gitignore", "*.log\n")
        first = self.muster().run_json["source"]
        self.assertRegex(first["hash"], "^xxh3-128:[0-9a-f]{32}$")
        self.assertEqual((first["files"], first["bytes"]), (3, 10))
        self.write("src/big.log", "changed")
        self.assertEqual(self.muster().run_json["source"]["hash"], first["hash"])
        self.write("src/train.py", "changed\n")
        self.assertNotEqual(self.muster().run_json["source"]["hash"], first["hash"])

    def test_the_commit_and_whether_it_is_all(self):
        self.write("src/train.py")
        self.write("src/.gitignore", "*.log\n")
        self.write("elsewhere/file")
        self.assertIsNone(self.muster().run_json["source"]["git"])
        self.git("init", "-q", "-b", "trunk", cwd=".")
        self.assertEqual(self.muster().run_json["source"]["git"]["commit"], None)
        self.git("add", ".")
        self.git("commit", "-q", "-m", "one")
        self.git("remote", "add", "origin", "https://anna:secret@example.org/a.git?token=secret")
        result = self.muster()
        self.assertEqual(result.run_json["source"]["git"], {
            "commit": self.git("rev-parse", "HEAD"), "branch": "trunk",
            "remote": "https://example.org/a.git", "dirty": False, "problem": None})
        self.assertNotIn("secret", (result.run_directory / "run.json").read_text(encoding="utf-8"))
        self.write("src/new.py")
        self.assertTrue(self.muster().run_json["source"]["git"]["dirty"])
        (self.work_dir / "src/new.py").unlink()
        self.write("elsewhere/file", "changed\n")  # not of the source
        self.git("checkout", "-q", "--detach")
        state = self.muster().run_json["source"]["git"]
        self.assertEqual((state["dirty"], state["branch"]), (False, None))

    def test_without_a_git_it_is_said_once(self):
        self.write("src/train.py")
        self.git("init", "-q", cwd=".")
        (self.work_dir / "bin").mkdir()
        for name in ("sh", "find", "sort"):
            (self.work_dir / "bin" / name).symlink_to(f"/usr/bin/{name}")
        result = self.muster(env={"PATH": self.work_dir / "bin"})
        self.assert_code(result, 0)
        problem = "no git is on PATH, so the commit is not recorded"
        self.assertEqual(result.run_json["source"]["git"]["problem"], problem)
        [log] = [path for path in (result.run_directory / "launcher").iterdir()
                 if path.name != "agents.log"]
        self.assertEqual(log.read_text(encoding="utf-8").count(problem), 1)

    def test_a_git_that_hangs_holds_nothing_up(self):
        self.write("src/train.py")
        self.git("init", "-q", cwd=".")
        self.write("bin/git", "#!/bin/sh\nsleep 600\n", 0o755)
        began = time.monotonic()
        result = self.muster(env={"PATH": f"{self.work_dir}/bin:{os.environ['PATH']}"})
        self.assert_code(result, 0)
        self.assertLess(time.monotonic() - began, 60)
        self.assertIn("took too long", result.run_json["source"]["git"]["problem"])
        self.assert_nothing_left()


class InPlace(SourceTest):
    def test_ranks_run_in_the_source_itself(self):
        self.write("src/train.py")
        for words, lines in (["--in-place"], []), ([], ["in_place: true"]):
            with self.subTest(words=words):
                result = self.muster(*words, lines=lines,
                                     command="pwd -P; mkdir -p outputs; date > outputs/when; "
                                             "touch trace")
                self.assert_code(result, 0)
                source = (self.work_dir / "src").resolve()
                self.assertEqual(Path(result.rank_bytes(0).decode().strip()), source)
                self.assertTrue((source / "trace").exists())
                self.assertTrue((result.run_directory / "outputs/when").exists())
                self.assertFalse((result.run_directory / "scratch").exists())
                record = result.run_json["source"]
                self.assertTrue(record["in_place"])
                self.assertIsNone(record["hash"])
                (source / "trace").unlink()

    def test_neither_limits_nor_links_matter_then(self):
        self.write("src/train.py")
        (self.work_dir / "src/out").symlink_to("/etc")
        self.assert_code(self.muster("--in-place", "--set", "source.limit_bytes=1"), 0)

    def test_the_plan_says_which(self):
        self.write("src/train.py")
        plan = self.muster("--in-place", verb="plan")
        self.assertRegex(plan.stdout, r"in +\S+/src \(in place\)")
        self.assertIn("in place (--in-place): source_directory itself (run.yaml:1:19)", plan.stdout)
        plan = self.muster(verb="plan")
        self.assertRegex(plan.stdout, r"source +1 file, 2 B +at most 20000 files and 2.0 GiB; no "
                                      r".amlignore or .gitignore there")


if __name__ == "__main__":
    muster_test.main()
