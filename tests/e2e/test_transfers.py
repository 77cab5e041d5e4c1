#!/usr/bin/python3
"""Downloads into the cache and uploads, by the program that runs them: whole, ended half-way and
started again, two at once, sources that change or fail, full disks."""

import fcntl
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import unittest
from pathlib import Path

import muster_test
from muster_test import MUSTER, ROUNDS, needs_root, wait_until

RCLONE = shutil.which("rclone")
needs_rclone = unittest.skipUnless(RCLONE, "no rclone on PATH")
SIGXFSZ_CODES = (-signal.SIGXFSZ, 128 + signal.SIGXFSZ)
MIB = 1 << 20


def pattern(length, seed=1):
    """Bytes that tell where they belong."""
    block = b"".join((seed * 1_000_003 + at).to_bytes(8, "little") for at in range(0, 4096))
    whole = block * (length // len(block) + 1)
    parts = [at.to_bytes(8, "little") + whole[at + 8:min(at + len(block), length)]
             for at in range(0, length, len(block))]
    return b"".join(parts)[:length]


def tree(folder):
    """Name -> bytes, or link, of everything below."""
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


class Ended:
    def __init__(self, code, out, err):
        self.code = code
        self.lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        self.err = err

    @property
    def last(self):
        return self.lines[-1] if self.lines else {}

    def __repr__(self):
        return f"code {self.code}\n{self.lines}\n{self.err}"


class TransferTest(muster_test.MusterTest):
    def setUp(self):
        super().setUp()
        self.source = self.directory / "source"
        self.source.mkdir()
        self.cache = self.directory / "cache"

    def spec(self, **changes):
        spec = {"direction": "download", "by": "local", "type": "folder", "name": "digits",
                "source": str(self.source), "shown": "./digits", "cache": str(self.cache / "data"),
                "stall_timeout_ms": 60_000, "on_behalf_of": "run 1"}
        if changes.get("by") == "rclone":
            spec["rclone"] = ["rclone", "--config", "/dev/null"]
        spec.update(changes)
        path = self.directory / f"spec-{len(list(self.directory.glob('spec-*')))}.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        return path

    def start(self, prefix=(), env=None, **changes):
        process = subprocess.Popen(
            [*prefix, MUSTER, "transfer", "--spec", str(self.spec(**changes))],
            env=self.environment(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=self.work_dir)
        self.addCleanup(muster_test.end, process)
        return process

    def ended(self, process, timeout=120):
        out, err = process.communicate(timeout=timeout)
        return Ended(process.returncode, out, err)

    def transfer(self, prefix=(), env=None, **changes):
        return self.ended(self.start(prefix, env, **changes))

    def assert_done(self, ended):
        self.assertEqual((ended.code, ended.last.get("phase")), (0, "done"), ended)
        return ended.last

    def assert_failed(self, ended, *words):
        self.assertEqual((ended.code, ended.last.get("phase")), (74, "failed"), ended)
        for word in words:
            self.assertIn(word, ended.last["message"])
        return ended.last

    def remove_cache(self):
        subprocess.run(["chmod", "-R", "u+w", self.cache], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.cache, ignore_errors=True)

    def part(self):
        return next(iter((self.cache / "data").glob("*.part")), None)

    def files_in_part(self):
        part = self.part()
        return [path for path in (part / "content").rglob("*") if path.is_file()] if part else []

    def many_files(self, count=10_000):
        for at in range(count):
            folder = self.source / f"d{at % 100:02}"
            if at < 100:
                folder.mkdir()
            (folder / f"{at}.txt").write_text(f"file {at}\n" * 10, encoding="utf-8")


class Downloads(TransferTest):
    def test_ten_thousand_files_then_the_cache(self):
        self.many_files()
        done = self.assert_done(self.transfer())
        self.assertEqual((done["hit"], done["files"], done["moved_files"]), (False, 10_000, 10_000))
        self.assertEqual(tree(done["content"]), tree(self.source))
        again = self.assert_done(self.transfer())
        self.assertEqual((again["hit"], again["moved_files"]), (True, 0))
        self.assertEqual(again["content"], done["content"])

    def test_ended_half_way_it_goes_on_with_the_rest(self):
        self.many_files()
        rounds_that_were_half_way = 0
        for _ in range(min(ROUNDS, 5)):
            self.remove_cache()
            process = self.start()
            wait_until(lambda: len(self.files_in_part()) > 200 or process.poll() is not None, 60,
                       "200 files")
            process.kill()
            self.ended(process)
            if not self.part():
                continue  # it was faster
            self.assertEqual(list((self.cache / "data").glob("*-*")), [], "half-made, yet there")
            sources = {str(path.relative_to(self.source)): path.stat().st_mtime_ns
                       for path in self.source.rglob("*.txt")}
            content = self.part() / "content"
            before = {}
            for path in self.files_in_part():
                info = path.stat()
                if info.st_mtime_ns == sources[str(path.relative_to(content))]:
                    before[str(path.relative_to(content))] = info.st_ino
            done = self.assert_done(self.transfer())
            after = {name: (Path(done["content"]) / name).stat().st_ino for name in before}
            self.assertEqual(after, before, "a file that was done was made again")
            self.assertEqual(done["moved_files"], 10_000 - len(before))
            rounds_that_were_half_way += 1
        self.assertGreater(rounds_that_were_half_way, 0, "it was never caught half-way")
        self.assertEqual(tree(done["content"]), tree(self.source))

    def test_a_large_file_goes_on_from_its_last_chunk(self):
        # The kernel ends it at 30 MB: always half-way, wherever it is fast.
        data = pattern(64 * MIB)
        (self.source / "big.bin").write_bytes(data)
        ended = self.transfer(prefix=["prlimit", f"--fsize={30 * MIB}", "--core=0"])
        self.assertIn(ended.code, SIGXFSZ_CODES, ended)
        self.assertIsNotNone(self.part())
        done = self.assert_done(self.transfer())
        self.assertEqual(done["kept_bytes"], 24 * MIB)
        self.assertEqual(done["moved_bytes"], 40 * MIB)
        self.assertTrue((Path(done["content"]) / "big.bin").read_bytes() == data, "other bytes")
        self.assertIsNone(self.part())

    def test_holes_stay_and_dense_data_is_whole(self):
        dense = pattern(16 * MIB, 2)
        with open(self.source / "mixed.bin", "wb") as file:
            file.write(dense)
            file.seek(48 * MIB, os.SEEK_CUR)
            file.write(b"end")
        done = self.assert_done(self.transfer())
        copy = Path(done["content"]) / "mixed.bin"
        self.assertEqual(copy.stat().st_size, 64 * MIB + 3)
        self.assertLess(copy.stat().st_blocks * 512, 20 * MIB)
        with open(copy, "rb") as file:
            self.assertTrue(file.read(16 * MIB) == dense, "other bytes")
            self.assertFalse(any(file.read(48 * MIB)))
            self.assertEqual(file.read(), b"end")

    def test_two_at_once_make_it_once(self):
        self.many_files(3000)
        first = self.start(on_behalf_of="run A")
        wait_until(lambda: self.part() or first.poll() is not None, 30, "the first one's folder")
        first.send_signal(signal.SIGSTOP)  # so that the second one has to wait
        if self.part() is None:
            self.skipTest("the first one was too fast to be met")
        second = self.start(on_behalf_of="run B")
        said = []
        wait_until(lambda: said.append(second.stdout.readline()) or '"waiting"' in said[-1], 30,
                   "the second one to say that it waits")
        self.assertIn("run A", said[-1])
        first.send_signal(signal.SIGCONT)
        one, other = self.ended(first), self.ended(second)
        self.assertEqual(self.assert_done(one)["moved_files"], 3000)
        done = self.assert_done(other)
        self.assertEqual((done["hit"], done["moved_files"]), (True, 0))
        self.assertEqual(done["content"], one.last["content"])

    def test_a_killed_maker_keeps_nobody_waiting(self):
        self.many_files(3000)
        first = self.start()
        wait_until(lambda: self.part() or first.poll() is not None, 30, "the first one's folder")
        first.kill()
        self.ended(first)
        self.assert_done(self.transfer())

    def test_a_source_that_changed_is_another_version(self):
        (self.source / "a.txt").write_text("one", encoding="utf-8")
        old = self.assert_done(self.transfer())
        (self.source / "a.txt").write_text("two!", encoding="utf-8")
        new = self.assert_done(self.transfer())
        self.assertNotEqual(new["content"], old["content"])
        self.assertEqual((Path(old["content"]) / "a.txt").read_text(encoding="utf-8"), "one")
        self.assertEqual((Path(new["content"]) / "a.txt").read_text(encoding="utf-8"), "two!")

    def test_what_somebody_changed_in_the_cache_is_mended(self):
        (self.source / "a.txt").write_text("one", encoding="utf-8")
        (self.source / "b.txt").write_text("two", encoding="utf-8")
        done = self.assert_done(self.transfer())
        copy = Path(done["content"]) / "a.txt"
        self.assertEqual(copy.stat().st_mode & 0o222, 0)
        copy.chmod(0o644)
        copy.write_text("spoilt", encoding="utf-8")
        mended = self.assert_done(self.transfer())
        self.assertEqual((mended["hit"], mended["moved_files"]), (False, 1))
        self.assertEqual(tree(mended["content"]), tree(self.source))
        self.assertIn("had been changed", mended["remarks"][0])

    def test_a_complete_copy_is_read_only_whoever_made_it(self):
        (self.source / "sub").mkdir()
        (self.source / "sub" / "run.sh").write_text("#!/bin/sh", encoding="utf-8")
        (self.source / "sub" / "run.sh").chmod(0o755)
        content = Path(self.assert_done(self.transfer())["content"])
        for path in (content, content / "sub", content / "sub" / "run.sh"):
            self.assertEqual(path.stat().st_mode & 0o777, 0o555, path)

    def test_a_name_that_somebody_added_is_noticed_and_removed(self):
        (self.source / "sub").mkdir()
        (self.source / "sub" / "a.txt").write_text("one", encoding="utf-8")
        (self.source / "empty").mkdir()
        content = Path(self.assert_done(self.transfer())["content"])
        for name in ("derived.npy", "sub/derived.npy", "empty/derived.npy"):
            content.joinpath(name).parent.chmod(0o755)
            content.joinpath(name).write_text("mine", encoding="utf-8")
            mended = self.assert_done(self.transfer())
            self.assertEqual((mended["hit"], mended["moved_files"]), (False, 0), name)
            self.assertEqual(tree(mended["content"]), tree(self.source))
        self.assertTrue(self.assert_done(self.transfer())["hit"])

    def test_one_that_was_changed_while_a_run_uses_it_stays_and_another_is_made(self):
        for name in ("a.txt", "b.txt"):
            (self.source / name).write_text(name, encoding="utf-8")
        first = Path(self.assert_done(self.transfer())["content"])
        with open(first.parent / "in-use", "rb") as used:
            fcntl.flock(used, fcntl.LOCK_SH)
            first.chmod(0o755)
            (first / "a.txt").unlink()
            second = self.assert_done(self.transfer())
            self.assertIn("a run uses it", second["remarks"][0])
            self.assertNotEqual(second["content"], str(first))
            self.assertEqual(tree(second["content"]), tree(self.source))
            self.assertTrue((first / "b.txt").exists())
            again = self.assert_done(self.transfer())
            self.assertEqual((again["hit"], again["content"]), (True, second["content"]))

    def test_a_file_that_grows_while_it_is_read_is_noticed(self):
        with open(self.source / "growing.bin", "wb") as file:
            file.truncate(4 << 40)  # a hole that takes long
            file.seek(0)
            file.write(pattern(64 * MIB))
        process = self.start()
        wait_until(lambda: self.files_in_part() or process.poll() is not None, 30, "the copy")
        with open(self.source / "growing.bin", "ab") as file:
            file.write(b"more")
        self.assert_failed(self.ended(process), "growing.bin was changed while it was copied")
        self.assertEqual(list((self.cache / "data").glob("*-*")), [])

    def test_one_file(self):
        (self.source / "train.csv").write_text("1,2", encoding="utf-8")
        done = self.assert_done(self.transfer(type="file", source=str(self.source / "train.csv")))
        self.assertEqual(Path(done["content"]).name, "train.csv")
        self.assertEqual(Path(done["content"]).read_text(encoding="utf-8"), "1,2")

    def test_only_the_names_that_are_wanted(self):
        for name in ("a.csv", "b.png", "sub/c.csv"):
            (self.source / name).parent.mkdir(exist_ok=True)
            (self.source / name).write_text(name, encoding="utf-8")
        for by in ("local", "rclone") if RCLONE else ("local",):
            done = self.assert_done(self.transfer(by=by, include=["*.csv"]))
            self.assertEqual(sorted(tree(done["content"])), ["a.csv", "sub/c.csv"], by)

    def test_a_source_that_is_not_there(self):
        self.assert_failed(self.transfer(source=str(self.directory / "none")),
                           "input digits (./digits): looking at ", "none: No such file")

    def test_a_wrong_type_names_the_right_one(self):
        failed = self.assert_failed(self.transfer(type="file"), "is a folder")
        self.assertEqual(failed["hint"], "write `type: folder`")

    @needs_root
    def test_files_that_may_not_be_read_are_named(self):
        for name in ("open.txt", "closed.txt"):
            (self.source / name).write_text(name, encoding="utf-8")
        (self.source / "secret").mkdir()
        for path in (self.directory, self.work_dir, self.runs_dir.parent, self.source):
            path.chmod(0o755)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        spool = self.directory / "nobody"
        spool.mkdir()
        os.chown(spool, 65534, 65534)
        reachable = subprocess.run([*nobody, MUSTER, "--version"], capture_output=True, check=False)
        if reachable.returncode != 0:
            self.skipTest("nobody cannot reach the built muster")
        (self.source / "secret").chmod(0o700)
        self.assert_failed(self.transfer(prefix=nobody, cache=str(spool / "cache")),
                           "secret/: Permission denied")
        (self.source / "secret").rmdir()
        (self.source / "closed.txt").chmod(0o600)
        self.assert_failed(self.transfer(prefix=nobody, cache=str(spool / "cache")),
                           "closed.txt: Permission denied")

    @needs_root
    def test_a_full_disk_is_told_before_it_starts(self):
        (self.source / "big.bin").write_bytes(pattern(24 * MIB))
        with self.small_disk(16) as disk:
            failed = self.assert_failed(self.transfer(cache=str(disk / "cache")),
                                        "not enough room for 1 file: needs 24.0 MiB")
            self.assertRegex(failed["message"], r"has \d+\.\d MiB")
            self.assertIn("muster cache prune", failed["hint"])

    @needs_root
    def test_a_disk_that_fills_up_meanwhile(self):
        (self.source / "big.bin").write_bytes(pattern(24 * MIB))
        with self.small_disk(40) as disk:
            process = self.start(prefix=["prlimit", f"--fsize={10 * MIB}", "--core=0"],
                                 cache=str(disk / "cache"))
            self.ended(process)
            (disk / "other").write_bytes(b"x" * (20 * MIB))
            self.assert_failed(self.transfer(cache=str(disk / "cache")), "not enough room")
            (disk / "other").unlink()
            done = self.assert_done(self.transfer(cache=str(disk / "cache")))
            self.assertEqual(done["kept_bytes"], 8 * MIB)

    def test_a_source_that_hangs_is_given_up(self):
        slow = self.directory / "hangs"
        slow.write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
        slow.chmod(0o755)
        begin = time.monotonic()
        failed = self.assert_failed(
            self.transfer(by="rclone", source="far:digits", rclone=[str(slow)],
                          stall_timeout_ms=1000),
            "nothing has moved for 1.0 s")
        self.assertIn("limits.transfer_stall_timeout", failed["hint"])
        self.assertLess(time.monotonic() - begin, 60)
        self.assert_nothing_left()

    @contextlib.contextmanager
    def small_disk(self, megabytes):
        disk = self.directory / "disk"
        disk.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", disk],
                              capture_output=True, check=False)
        if done.returncode != 0:
            self.skipTest("no tmpfs can be mounted here")
        try:
            yield disk
        finally:
            subprocess.run(["umount", disk], check=True)


class Uploads(TransferTest):
    def setUp(self):
        super().setUp()
        self.target = self.directory / "target"
        (self.source / "sub").mkdir()
        (self.source / "model.pt").write_bytes(pattern(3 * MIB))
        (self.source / "sub/log.txt").write_text("log", encoding="utf-8")

    def up(self, **changes):
        changes = {"direction": "upload", "name": "model", "target": str(self.target),
                   "shown": "./models", **changes}
        return self.transfer(**changes)

    def both_ways(self):
        return ("local", "rclone") if RCLONE else ("local",)

    def test_everything_arrives(self):
        for by in self.both_ways():
            with self.subTest(by):
                shutil.rmtree(self.target, ignore_errors=True)
                done = self.assert_done(self.up(by=by))
                self.assertEqual((done["moved_files"], done["refused"]), (2, []))
                self.assertEqual(tree(self.target), tree(self.source))

    def test_names_that_exist_stay_and_the_rest_is_uploaded(self):
        for by in self.both_ways():
            with self.subTest(by):
                shutil.rmtree(self.target, ignore_errors=True)
                self.target.mkdir()
                (self.target / "model.pt").write_text("precious", encoding="utf-8")
                done = self.assert_done(self.up(by=by))
                self.assertEqual((done["moved_files"], done["refused"]), (1, ["model.pt"]))
                self.assertEqual((self.target / "model.pt").read_text(encoding="utf-8"), "precious")
                self.assertEqual((self.target / "sub/log.txt").read_text(encoding="utf-8"), "log")

    def test_names_that_exist_are_replaced_when_they_may_be(self):
        for by in self.both_ways():
            with self.subTest(by):
                self.target.mkdir(exist_ok=True)
                (self.target / "model.pt").write_text("old", encoding="utf-8")
                done = self.assert_done(self.up(by=by, overwrite=True))
                self.assertEqual(done["refused"], [])
                self.assertEqual(tree(self.target), tree(self.source))

    def test_an_upload_that_is_repeated_finds_its_own_files(self):
        self.assert_done(self.up())
        done = self.assert_done(self.up())
        self.assertEqual((done["moved_files"], done["refused"]), (0, []))

    def test_a_target_that_cannot_be_made_is_named(self):
        (self.directory / "file").write_text("x", encoding="utf-8")
        self.assert_failed(self.up(target=str(self.directory / "file/sub")),
                           "output model (./models)", "Not a directory")

    def test_nothing_half_made_is_left_under_a_name(self):
        self.start_and_kill()
        names = [path.name for path in self.target.rglob("*") if path.is_file()]
        self.assertNotIn("model.pt", names)
        self.assert_done(self.up())
        self.assertEqual({name for name in tree(self.target) if not name.startswith(".")},
                         {"model.pt", "sub/log.txt"})

    def start_and_kill(self):
        ended = self.up_with_prefix(["prlimit", f"--fsize={MIB}", "--core=0"])
        self.assertIn(ended.code, SIGXFSZ_CODES, ended)

    def up_with_prefix(self, prefix):
        return self.transfer(prefix=prefix, direction="upload", name="model",
                             target=str(self.target), shown="./models")


@needs_rclone
class Rclone(TransferTest):
    def test_files_small_and_large_arrive_and_are_then_in_the_cache(self):
        (self.source / "sub").mkdir()
        (self.source / "empty").mkdir()
        (self.source / "small.txt").write_text("small", encoding="utf-8")
        (self.source / "sub/big.bin").write_bytes(pattern(40 * MIB))
        done = self.assert_done(self.transfer(by="rclone"))
        self.assertEqual((done["hit"], done["moved_files"]), (False, 2))
        self.assertTrue(tree(done["content"]) == tree(self.source), "other bytes")
        self.assertTrue((Path(done["content"]) / "empty").is_dir())
        self.assertTrue(self.assert_done(self.transfer(by="rclone"))["hit"])

    def test_a_large_file_goes_on_where_it_was_ended(self):
        data = pattern(48 * MIB)
        (self.source / "big.bin").write_bytes(data)
        ended = self.transfer(prefix=["prlimit", f"--fsize={30 * MIB}", "--core=0"], by="rclone")
        self.assertIn(ended.code, SIGXFSZ_CODES, ended)
        done = self.assert_done(self.transfer(by="rclone"))
        self.assertGreaterEqual(done["kept_bytes"], 16 * MIB)
        self.assertEqual(done["kept_bytes"] + done["moved_bytes"], 48 * MIB)
        self.assertTrue((Path(done["content"]) / "big.bin").read_bytes() == data, "other bytes")

    def test_small_files_that_are_done_are_not_fetched_again(self):
        for at in range(40):
            (self.source / f"{at}.txt").write_bytes(pattern(1000, at + 1))
        done = self.assert_done(self.transfer(by="rclone"))
        entry = Path(done["entry"])
        part = entry.parent / (entry.name.partition("-")[0] + ".part")
        entry.rename(part)  # as if it had been ended before its last step
        (part / "content/7.txt").unlink()
        before = (part / "content/8.txt").stat().st_ino
        done = self.assert_done(self.transfer(by="rclone"))
        self.assertEqual(done["moved_files"], 1)
        self.assertEqual((Path(done["content"]) / "8.txt").stat().st_ino, before)
        self.assertEqual(tree(done["content"]), tree(self.source))

    def test_one_file(self):
        for size in (10, 40 * MIB):
            (self.source / "one.bin").write_bytes(pattern(size))
            done = self.assert_done(
                self.transfer(by="rclone", type="file", source=str(self.source / "one.bin")))
            self.assertEqual(Path(done["content"]).name, "one.bin")
            self.assertEqual(Path(done["content"]).stat().st_size, size)

    def test_a_remote_that_nobody_defined_is_told_in_rclones_words(self):
        self.assert_failed(self.transfer(by="rclone", source="nowhere:digits"),
                           "nowhere:digits", "didn't find section in config file")

    def test_a_folder_that_is_not_there(self):
        self.assert_failed(self.transfer(by="rclone", source=str(self.directory / "none")),
                           "directory not found")

    def test_without_rclone_it_says_what_to_install(self):
        failed = self.assert_failed(
            self.transfer(by="rclone", source="far:digits", rclone=["rclone"],
                          env={"PATH": str(self.work_dir)}), "rclone was not found")
        self.assertIn("apt-get install rclone", failed["hint"])

    def test_a_killed_transfer_leaves_no_rclone(self):
        (self.source / "big.bin").write_bytes(pattern(48 * MIB))
        process = self.start(by="rclone", rclone=["rclone", "--config", "/dev/null",
                                                  "--bwlimit", "1M"])
        wait_until(lambda: any("rclone" in each.argv[0] for each in self.processes() if each.argv),
                   30, "rclone")
        process.kill()
        self.ended(process)
        self.assert_nothing_left()

    def test_a_wrong_hash_is_noticed(self):
        # An rclone whose store lies about a file: the list has another hash than the bytes.
        (self.source / "big.bin").write_bytes(pattern(40 * MIB))
        wrapper = self.directory / "lying-rclone"
        wrapper.write_text(
            "#!/bin/sh\n"
            'case "$1" in\n'
            '  backend) echo \'{"Hashes": ["md5"], "Features": {"SlowHash": false}}\' ;;\n'
            "  lsjson)\n"
            '    rclone "$@" | sed \'s/"md5":"[0-9a-f]*"/"md5":"\'"$LIE"\'"/\' ;;\n'
            '  *) exec rclone "$@" ;;\n'
            "esac\n", encoding="utf-8")
        wrapper.chmod(0o755)
        lie = "0123456789abcdef0123456789abcdef"
        self.assert_failed(self.transfer(by="rclone", rclone=[str(wrapper)], env={"LIE": lie}),
                           "its md5 is ", f"and should be {lie}")
        self.assertEqual(list((self.cache / "data").glob("*-*")), [])
        md5 = subprocess.run(["md5sum", self.source / "big.bin"], capture_output=True, text=True,
                             check=True).stdout.split()[0]
        self.assert_done(self.transfer(by="rclone", rclone=[str(wrapper)], env={"LIE": md5}))

    def test_over_the_network(self):
        (self.source / "sub").mkdir()
        for at in range(50):
            (self.source / f"sub/{at}.txt").write_text(f"{at}", encoding="utf-8")
        (self.source / "big.bin").write_bytes(pattern(40 * MIB))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = subprocess.Popen(
            ["rclone", "--config", "/dev/null", "serve", "webdav", "--addr", f"127.0.0.1:{port}",
             str(self.source)], env=self.environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        self.addCleanup(muster_test.end, server)
        wait_until(lambda: self.answers(port), 30, "the WebDAV server")
        env = {"RCLONE_CONFIG_FAR_TYPE": "webdav",
               "RCLONE_CONFIG_FAR_URL": f"http://127.0.0.1:{port}"}
        done = self.assert_done(self.transfer(by="rclone", source="far:", env=env))
        self.assertTrue(tree(done["content"]) == tree(self.source), "other bytes")
        self.assertTrue(self.assert_done(self.transfer(by="rclone", source="far:", env=env))["hit"])
        muster_test.end(server)
        self.remove_cache()
        self.assert_failed(self.transfer(by="rclone", source="far:", env=env), "far:", "rclone")

    @staticmethod
    def answers(port):
        with contextlib.closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


class Runs(TransferTest):
    """The same through `muster run`."""

    def setUp(self):
        super().setUp()
        self.target = self.directory / "target"

    def config(self, text, datastores=None):
        (self.work_dir / "run.yaml").write_text(text, encoding="utf-8")
        if datastores:
            (self.work_dir / "datastores.yaml").write_text(datastores, encoding="utf-8")
        return "run.yaml"

    def with_cache(self, **changes):
        return {"MUSTER_CACHE_DIR": self.cache, **changes}

    def run_config(self, text, datastores=None):
        return self.run_muster(["run", self.config(text, datastores)], env=self.with_cache())

    def download_config(self, command="cat \"$AZURE_ML_INPUT_digits\"/*", path=None):
        return (f"command: '{command}'\n"
                f"inputs: {{digits: {{path: '{path or self.source}', mode: download}}}}\n")

    def upload_config(self, command, more=""):
        return (f"command: '{command}'\n"
                f"outputs: {{model: {{path: '{self.target}', mode: upload{more}}}}}\n")

    def slow_store(self, rate):
        return ("datastores:\n  far:\n    type: rclone\n"
                f"    remote: ':local:{self.directory}'\n"
                f"    options: [--bwlimit, {rate}]\n")

    def slow_config(self):
        return self.download_config("wc -c < \"$AZURE_ML_INPUT_digits\"/big.bin",
                                    "datastore://far/source")

    def test_ranks_read_what_was_downloaded_and_the_next_run_has_it(self):
        (self.source / "a.txt").write_text("the data", encoding="utf-8")
        first = self.run_config(self.download_config())
        self.assert_code(first, 0)
        self.assertIn("the data", first.stdout)
        self.assertRegex(first.stderr, r"muster: input digits: 1 file, 8 B in ")
        second = self.run_config(self.download_config())
        self.assertIn("muster: input digits: 1 file, 8 B, from the cache", second.stderr)
        self.assertIn("the data", second.stdout)
        events = (second.run_directory / "events.jsonl").read_text(encoding="utf-8")
        self.assertRegex(events, r'"event":"input_downloaded".*"from_cache":true')
        self.assert_nothing_left()
        self.assert_runtime_empty()

    def test_one_file_is_seen_as_a_file(self):
        (self.source / "a.txt").write_text("the data", encoding="utf-8")
        result = self.run_config(
            "command: 'cat \"$AZURE_ML_INPUT_digits\"'\n"
            f"inputs: {{digits: {{path: '{self.source}/a.txt', mode: download, type: file}}}}\n")
        self.assert_code(result, 0)
        self.assertIn("the data", result.stdout)

    def test_what_a_run_uses_is_not_pruned(self):
        (self.source / "a.txt").write_text("the data", encoding="utf-8")
        running = self.start_muster(["run", self.config(self.download_config("echo here; sleep 600"))],
                                    env=self.with_cache())
        wait_until(lambda: b"here" in running.output(), 60, "the rank")
        done = subprocess.run([MUSTER, "cache", "prune", "--max-size", "0", "--json"],
                              capture_output=True, check=True,
                              env=self.environment(self.with_cache()))
        self.assertEqual((json.loads(done.stdout)["removed"], json.loads(done.stdout)["left_in_use"]),
                         ([], 1))
        running.send(signal.SIGTERM)
        self.assert_code(running.wait(), 143)

    @needs_rclone
    def test_a_killed_launcher_leaves_nothing_and_the_next_goes_on(self):
        (self.source / "big.bin").write_bytes(pattern(48 * MIB))
        config = self.config(self.slow_config(), self.slow_store("12M"))
        running = self.start_muster(["run", config], env=self.with_cache())
        wait_until(lambda: self.noted() >= 16 * MIB, 60, "16 MiB")
        running.send(signal.SIGKILL)
        running.wait()
        self.assert_nothing_left()
        kept = self.noted()
        result = self.run_config(self.slow_config(), self.slow_store("off"))
        self.assert_code(result, 0)
        self.assertIn(str(48 * MIB), result.stdout)
        self.assertIn(f"({kept / MIB:.1f} MiB of it were there already)", result.stderr)

    def noted(self):
        """Bytes of the large file that are on record."""
        ledgers = list((self.cache / "data").glob("*.part/ledgers/*"))
        lines = ledgers[0].read_text(encoding="utf-8").split() if ledgers else []
        return int(lines[-1]) if len(lines) > 5 else 0

    @needs_rclone
    def test_the_second_launcher_says_for_whom_it_waits(self):
        (self.source / "big.bin").write_bytes(pattern(40 * MIB))
        config = self.config(self.slow_config(), self.slow_store("8M"))
        first = self.start_muster(["run", "--run-id", "one", config], env=self.with_cache())
        wait_until(self.part, 60, "the first one's folder")
        second = self.start_muster(["run", "--run-id", "two", config], env=self.with_cache())
        wait_until(lambda: b"input digits: waiting for run one (process" in second.output(), 60,
                   "the second one's word")
        one, two = first.wait(), second.wait()
        self.assert_code(one, 0)
        self.assert_code(two, 0)
        self.assertIn("from the cache", two.stderr)

    @needs_rclone
    def test_ctrl_c_ends_a_download(self):
        (self.source / "big.bin").write_bytes(pattern(40 * MIB))
        config = self.config(self.slow_config(), self.slow_store("1M"))
        running = self.start_muster(["run", config], env=self.with_cache())
        wait_until(self.part, 60, "the download")
        running.send(signal.SIGINT)
        self.assert_code(running.wait(), 130)
        self.assert_nothing_left()

    @needs_rclone
    def test_a_failed_download_names_everything_and_starts_no_rank(self):
        result = self.run_config(self.download_config("echo started", "datastore://far/none"),
                                 self.slow_store("off"))
        self.assert_code(result, 74)
        for words in ("node ", "input digits", "datastore://far/none", "directory not found",
                      "run.yaml:2:"):
            self.assertIn(words, result.stderr)
        self.assertNotIn("started", result.stdout)
        self.assertEqual(result.run_json["exit_code"], 74)
        self.assertEqual(result.run_json["origin"], "muster")

    def test_outputs_are_uploaded_and_stay_in_the_run_directory(self):
        result = self.run_config(self.upload_config(
            "echo weights > \"$AZURE_ML_OUTPUT_model\"/model.pt; mkdir outputs; echo log > outputs/log"))
        self.assert_code(result, 0)
        self.assertEqual(tree(self.target), {"model.pt": b"weights\n"})
        self.assertEqual((result.run_directory / "outputs/model/model.pt").read_bytes(), b"weights\n")
        self.assertEqual((result.run_directory / "outputs/log").read_bytes(), b"log\n")
        self.assertIn(f"output model: 1 file in {self.target} (8 B uploaded)", result.stderr)

    def test_a_name_that_exists_fails_the_run_and_nothing_else(self):
        self.target.mkdir()
        (self.target / "model.pt").write_text("precious", encoding="utf-8")
        command = "cd \"$AZURE_ML_OUTPUT_model\"; echo weights > model.pt; echo x > other"
        result = self.run_config(self.upload_config(command))
        self.assert_code(result, 74)
        self.assertEqual(tree(self.target), {"model.pt": b"precious", "other": b"x\n"})
        self.assertIn("1 name exists there and may not be replaced (model.pt)", result.stderr)
        self.assertIn(f"its files are in {result.run_directory}/outputs/model", result.stderr)
        self.assertEqual(result.run_json["origin"], "muster")
        self.assert_code(self.run_config(self.upload_config(command, ", overwrite: true")), 0)
        self.assertEqual((self.target / "model.pt").read_text(encoding="utf-8"), "weights\n")

    def test_a_failed_run_uploads_what_is_there(self):
        result = self.run_config(
            self.upload_config("echo half > \"$AZURE_ML_OUTPUT_model\"/model.pt; exit 7"))
        self.assert_code(result, 7)
        self.assertEqual(tree(self.target), {"model.pt": b"half\n"})
        self.assertIn("output model: 1 file in ", result.stderr)

    def test_a_run_that_wrote_nothing_says_so(self):
        result = self.run_config(self.upload_config("true"))
        self.assert_code(result, 0)
        self.assertIn("output model: no file was written, none uploaded", result.stderr)


class Cache(TransferTest):
    def cache_command(self, *words, code=0):
        done = subprocess.run([MUSTER, "cache", *words], capture_output=True, text=True,
                              check=False, env=self.environment({"MUSTER_CACHE_DIR": self.cache}))
        self.assertEqual(done.returncode, code, done)
        return done

    def test_lists_and_prunes_the_oldest(self):
        self.assertIn("nothing in", self.cache_command().stderr)
        for name in ("old", "new"):
            folder = self.directory / name
            folder.mkdir()
            (folder / "data.bin").write_bytes(pattern(MIB))
            entry = self.assert_done(self.transfer(source=str(folder), shown=f"./{name}"))["entry"]
            os.utime(Path(entry) / "in-use", (1000 if name == "old" else 2000,) * 2)
        listed = json.loads(self.cache_command("--json").stdout)
        self.assertEqual([each["source"] for each in listed], ["./new", "./old"])
        self.assertEqual([each["state"] for each in listed], ["complete", "complete"])
        self.assertRegex(self.cache_command("list").stdout, r"complete +\./old")
        said = self.cache_command("prune", "--max-size", "1500k").stdout
        self.assertTrue(re.match(r"removed 1 download, 1\.0 MiB; 1 left", said), said)
        listed = json.loads(self.cache_command("list", "--json").stdout)
        self.assertEqual([each["source"] for each in listed], ["./new"])
        self.cache_command("prune", "--max-size", "0")
        self.assertIn("nothing in", self.cache_command().stderr)

    def test_what_makes_no_sense_is_refused(self):
        self.assertIn("--max-size", self.cache_command("prune", code=64).stderr)
        self.assertIn("is no size", self.cache_command("prune", "--max-size", "much", code=64).stderr)
        self.assertIn("list or prune", self.cache_command("clean", code=64).stderr)


if __name__ == "__main__":
    muster_test.main()
