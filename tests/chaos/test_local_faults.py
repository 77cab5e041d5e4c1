"""Faults of one node, without a collector: F1, F2, F3, F17, F18, F19, F20, F27 of the fault matrix.

tests/chaos/README.md has the whole matrix.
"""

import os
import pty
import re
import signal
import struct
import subprocess
import threading
import time
import unittest
import uuid
from datetime import datetime
from pathlib import Path

import muster_test
from chaos import CHUNK, LONG, MIB, PIPE, RATE, ChaosTest, SmallDisk, events_of
from muster_test import MUSTER, PROGRAMS_DIR, PYTHON, program, wait_until

NO_GRACE = ("--set", "limits.failure_grace_period=0s")


class Killed(ChaosTest):
    """F1, F2, F3: a rank, an agent, the launcher."""

    def flooding(self, chance, *options):
        running = self.start_ranks(self.flood(), *NO_GRACE, *options)
        pids = self.wait_started(running)
        self.wait_flooding()
        time.sleep(chance.uniform(0, 0.5))
        return running, pids

    def test_f01_a_killed_rank_loses_no_byte(self):
        def one_seed(chance):
            running, pids = self.flooding(chance)
            victim = chance.randrange(self.ranks)
            os.kill(pids[victim], signal.SIGKILL)
            result = running.wait()
            self.assert_code(result, 128 + signal.SIGKILL)
            first = result.run_json["first_failure"]
            self.assertEqual((first["rank"], first["how"], first["value"]),
                             (victim, "signaled", signal.SIGKILL))
            self.assert_all_stored(result.run_directory)
            self.assert_no_gaps(result)

        self.each_seed(one_seed)

    def test_f02_a_killed_agent_loses_no_byte(self):
        def one_seed(chance):
            running, _ = self.flooding(chance)
            pid, victim = chance.choice(sorted(self.agents().items()))
            os.kill(pid, signal.SIGKILL)
            result = running.wait()
            self.assert_code(result, 70)
            first = result.run_json["first_failure"]
            self.assertEqual((first["rank"], first["how"]), (victim, "agent_lost"))
            self.assert_all_stored(result.run_directory)
            self.assert_no_gaps(result)
            self.assert_nothing_left()

        self.each_seed(one_seed)

    def test_f03_a_killed_launcher_leaves_a_store_that_is_right_and_no_process(self):
        def one_seed(chance):
            running, _ = self.flooding(chance)
            running.send(signal.SIGKILL)
            running.process.wait()
            self.assert_nothing_left()
            self.assert_prefixes(running.run_directory)

        self.each_seed(one_seed)

    def assert_prefixes(self, directory):
        """What is stored is right, and only what was in the pipes is missing."""
        for rank in range(self.ranks):
            stored = self.assert_payload(directory, rank)
            self.assertGreaterEqual(stored, self.returned(rank) - PIPE)
            self.assertLessEqual(stored, self.returned(rank) + CHUNK)


@muster_test.needs_root
class OutOfMemory(ChaosTest):
    """F17: the OOM killer ends a rank, or everything at once."""

    ranks = 2

    def test_f17_a_rank_that_is_killed_for_memory_loses_no_byte(self):
        cgroup = self.make_cgroup()
        command = ["sh", "-c", f"'{program('flood')}' --bytes $((($RANK + 1) * 3000001)) --chunk "
                               f"{CHUNK} --count-file \"$0\"/$RANK; exec '{program('eats_memory')}' "
                               "--rank 1"]
        inside = ("sh", "-c", 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"', "inside", cgroup)

        def one_seed(_):
            running = self.start_ranks([*command, self.counters], *NO_GRACE, prefix=inside)
            result = running.wait()
            self.assert_code(result, 128 + signal.SIGKILL)
            first = result.run_json["first_failure"]
            self.assertEqual((first["rank"], first["cause"]), (1, "oom"))
            self.assert_all_stored(result.run_directory)
            self.assert_no_gaps(result)
            self.assert_nothing_left()

        self.each_seed(one_seed)

    def make_cgroup(self):
        """A memory cgroup of 96 MiB; skips where none can be made."""
        limits = {"memory.limit_in_bytes": "/sys/fs/cgroup/memory", "memory.max": "/sys/fs/cgroup"}
        for file, top in limits.items():
            cgroup = Path(top) / f"muster-test-{uuid.uuid4().hex[:12]}"
            try:
                cgroup.mkdir()
                (cgroup / file).write_text("96M", encoding="utf-8")
            except OSError:
                if cgroup.is_dir():
                    cgroup.rmdir()
                continue
            self.cgroup = cgroup
            return cgroup
        raise unittest.SkipTest("no memory cgroup can be made here")

    def tearDown(self):
        if hasattr(self, "cgroup"):
            self.end_all()
            for inner, _, _ in os.walk(self.cgroup, topdown=False):
                wait_until(lambda inner=inner: remove(inner), 20, f"{inner} to be empty")

    def test_f17_a_group_that_is_killed_as_a_whole_leaves_a_store_that_is_right(self):
        """memory.oom.group kills every process of the cgroup: so does this."""
        def one_seed(chance):
            running = self.start_ranks(self.flood())
            self.wait_started(running)
            self.wait_flooding()
            time.sleep(chance.uniform(0, 0.5))
            victims = [running.pid, *(each.pid for each in running.processes())]
            chance.shuffle(victims)
            for pid in victims:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            running.process.wait()
            self.assert_nothing_left()
            for rank in range(self.ranks):
                stored = self.assert_payload(running.run_directory, rank)
                self.assertGreaterEqual(stored, self.returned(rank) - PIPE)

        self.each_seed(one_seed)


def remove(directory):
    try:
        os.rmdir(directory)
    except OSError:
        return not os.path.exists(directory)
    return True


@muster_test.needs_root
class OwnDisk(ChaosTest):
    """F13, F15: the disk of the run directory is full for a while, or calls on it fail."""

    ranks = 2

    def assert_accounted(self, directory, result, size, reasons, prefix=()):
        """What is stored is right, and the gaps have all the rest."""
        gaps = self.gaps_of(directory)
        for rank in range(self.ranks):
            own = gaps.get(f"ranks/{rank:05}/attempt-0/stdout.log", [])
            self.assertLessEqual({reason for _, _, reason in own}, reasons)
            compared = self.assert_payload(directory, rank, gaps=[gap[:2] for gap in own],
                                           prefix=prefix)
            self.assertEqual(compared + sum(to - from_ for from_, to, _ in own), size)
        missing = any("stdout" in stream for stream in gaps)
        self.assert_code(result, 73 if missing else 0)
        self.verify(directory, prefix=prefix)
        return missing

    def test_f13_a_disk_that_is_full_for_a_while(self):
        def one_seed(chance):
            disk = SmallDisk(self, "24m")
            size = 12 * MIB
            running = self.start_ranks(self.flood("--bytes", size, "--rate", RATE), "--runs-dir",
                                       disk.path / "runs", prefix=disk.inside)
            self.wait_flooding(MIB)
            disk.fill(21)
            time.sleep(chance.uniform(0.2, 0.6))
            disk.free()
            result = running.wait(120)
            [name] = disk.run("ls", disk.path / "runs").split()
            result.found_run_directory = disk.copy(disk.path / "runs" / name, self.runs_dir / name)
            missing = self.assert_accounted(result.run_directory, result, size, {"disk_full"})
            self.assertTrue(missing)
            for rank in range(self.ranks):  # space came back: the end is there
                self.assertEqual(result.rank_file(rank).stat().st_size, size)
            told = [each["event"] for each in events_of(result.run_directory)]
            self.assertIn("stream_gap", told)

        self.each_seed(one_seed)

    def test_f15_calls_that_fail_leave_gaps_that_are_exact(self):
        def one_seed(chance):
            size = 6 * MIB
            for how in chance.sample(("EIO", "short", "EINTR", "ENOSPC"), 2):
                calls = chance.choice(("write", "write,ftruncate,fallocate", "fdatasync,fsync,syncfs"))
                with self.subTest(how=how, calls=calls):
                    orders = {"LD_PRELOAD": PROGRAMS_DIR / "fail_calls.so", "FAIL_PROGRAM": "muster",
                              "FAIL_BELOW": self.runs_dir, "FAIL_CALLS": calls, "FAIL_HOW": how,
                              # The first hundred are run.json's and the like.
                              "FAIL_FROM": chance.randrange(100, 300),
                              "FAIL_COUNT": chance.choice((1, 3, 20))}
                    running = self.start_ranks(self.flood("--bytes", size, "--rate", RATE),
                                               env=orders)
                    result = running.wait(120)
                    missing = self.assert_accounted(result.run_directory, result, size,
                                                    {"disk_full", "disk_error"})
                    if how in ("short", "EINTR"):
                        self.assertFalse(missing)

        self.each_seed(one_seed)


class Descendants(ChaosTest):
    """F18: somebody keeps the pipe open after the rank's end."""

    ranks = 1  # a failed one would end its peers before they have started anything

    def test_f18_an_end_is_known_at_once_and_what_comes_late_is_stored(self):
        def one_seed(chance):
            late = chance.uniform(0.1, 1.2)
            code = chance.randrange(3, 100)
            script = (f"setsid sh -c 'trap \"\" TERM; sleep {late:.2f}; echo late $RANK; sleep 600' & "
                      f"exit {code}")
            running = self.start_ranks(["sh", "-c", script])
            result = running.wait()
            self.assert_code(result, code)
            for rank in range(self.ranks):
                self.assertEqual(result.rank_bytes(rank), f"late {rank}\n".encode())
            self.assert_no_gaps(result)
            ended = {each.get("rank", "run"): datetime.fromisoformat(each["time"][:-1])
                     for each in events_of(result.run_directory)
                     if each["event"] in ("rank_ended", "run_ended")}
            # The 2 s of the descendants are no part of the rank's own life.
            for rank in range(self.ranks):
                self.assertGreater((ended["run"] - ended[rank]).total_seconds(), 1.5)
            self.assert_nothing_left()

        self.each_seed(one_seed)


class Clock(ChaosTest):
    """F19: the clock of the node jumps by an hour, both ways, while ranks write."""

    ranks = 2
    SCRIPT = ("i=0; until [ -e \"$0/stop\" ]; do i=$((i + 1)); echo $RANK line $i; sleep 0.01; "
              "done; echo $i > \"$0/lines-$RANK\"")

    def test_f19_steps_of_the_clock_change_no_order_and_no_limit(self):
        def one_seed(chance):
            offset = self.counters / "offset"
            offset.write_bytes(bytes(8))
            running = self.start_ranks(
                ["sh", "-c", self.SCRIPT, self.counters],
                "--set", "limits.max_run_duration_seconds=1200",
                env={"LD_PRELOAD": PROGRAMS_DIR / "step_clock.so", "STEP_PROGRAM": "muster",
                     "STEP_FILE": offset})
            self.wait_started(running)
            steps = [-3600, 3600]
            chance.shuffle(steps)
            for step in (*steps, 0):
                time.sleep(chance.uniform(0.05, 0.4))
                with open(offset, "r+b", buffering=0) as file:
                    file.write(struct.pack("<q", step * 10**9))
            time.sleep(0.2)
            (self.counters / "stop").touch()
            result = running.wait()
            self.assert_code(result, 0)
            stepped = [datetime.fromisoformat(each["time"][:-1])
                       for each in events_of(result.run_directory)]
            self.assertEqual(stepped, sorted(stepped), "0 again at the end")
            for rank in range(self.ranks):
                count = int((self.counters / f"lines-{rank}").read_text())
                lines = [f"{rank} line {number}" for number in range(1, count + 1)]
                self.assertEqual(result.rank_bytes(rank).decode().splitlines(), lines)
                self.assertEqual(self.shown(result, rank), lines)
            self.assertNotRegex(result.stderr, r"-\d+(\.\d+)? s\b")
            merged = self.shown(result, "0-1", "--merge")
            for rank in range(self.ranks):  # order within a stream
                own = [line for line in merged if line.startswith(f"{rank} ")]
                self.assertEqual(own, self.shown(result, rank))

        self.each_seed(one_seed)

    def shown(self, result, ranks, *options):
        done = self.run_muster(["logs", result.run_directory, "--rank", ranks, *options])
        self.assert_code(done, 0)
        return [re.sub(r"^\[\d+\] ", "", line) for line in done.stdout.splitlines()]


class Resources(ChaosTest):
    """F20: no descriptors, no processes, no memory: a defined end, told to the user."""

    # 69: does not fit; 70, 73: the launcher's own; 75: no start; 126: a rank cannot be executed.
    DEFINED = (0, 69, 70, 73, 75, 126)

    def limited(self, kind, limit):
        return [PYTHON, "-c", "import os, resource, sys; "
                f"resource.setrlimit(resource.{kind}, ({limit}, {limit})); "
                "os.execv(sys.argv[1], sys.argv[1:])"]

    def assert_defined(self, result):
        self.assertIn(result.code, self.DEFINED, f"\n{result}")
        if result.code != 0:
            self.assertIn("muster: ", result.stderr)
            self.assertNotIn("terminate called", result.stderr)
        self.assert_nothing_left()
        self.assert_no_zombies()

    def assert_no_zombies(self):
        self.assertEqual([each for each in muster_test.all_processes()
                          if each.state == "Z" and each.parent == os.getpid()], [])

    def test_f20_few_descriptors(self):
        def one_seed(chance):
            for limit in (64, chance.randrange(8, 200)):
                result = self.run_muster(["run", "-n", 8, "--backend", "direct", "--", "echo", "hi"],
                                         prefix=self.limited("RLIMIT_NOFILE", limit))
                self.assert_defined(result)
                if result.code == 0:
                    self.assertEqual(result.rank_bytes(7), b"hi\n")

        self.each_seed(one_seed)

    def test_f20_little_memory(self):
        def one_seed(chance):
            limit = chance.randrange(12, 160) * MIB
            result = self.run_muster(["run", "-n", 2, "--backend", "direct", "--", "echo", "hi"],
                                     prefix=self.limited("RLIMIT_AS", limit))
            if result.code not in (127, -signal.SIGSEGV) or "muster" in result.stderr:
                self.assert_defined(result)
            else:  # the loader could not even map the program
                self.assertIn("cannot", result.stderr)

        self.each_seed(one_seed)


class Odd(ChaosTest):
    """F27: output that is no text is stored byte by byte, and is harmless on a terminal."""

    BYTES = {"lines-never": 1024 * MIB if LONG else 64 * MIB, "progress": 64 << 10,
             "terminal": 2 * MIB, "not-utf8": 2 * MIB, "zeros": 8 * MIB}
    # Anything but text, newlines, tabs, colours, and what the status line does to its own line.
    HARMFUL = re.compile(rb"\x1b(?!\[[0-9;:]*m|\[K|\[\?25[hl])|[\x00-\x08\x0b\x0c\x0e-\x1a\x7f]")

    def command(self, kind, seed):
        pause = ["--pause", "0.001"] if kind == "progress" else []
        return [program("odd_output"), kind, "--bytes", str(self.BYTES[kind]), "--seed", str(seed),
                *pause]

    def test_f27_every_odd_byte_is_stored(self):
        def one_seed(chance):
            seed = chance.randrange(1 << 30)
            kinds = sorted(self.BYTES)
            words = " ".join(f"{number}) set -- {' '.join(self.command(kind, seed))};;"
                             for number, kind in enumerate(kinds))
            running = self.start_ranks(["sh", "-c", f"case $RANK in {words} esac; exec \"$@\""],
                                       ranks=len(kinds))
            result = running.wait(300)
            self.assert_code(result, 0)
            self.assert_no_gaps(result)
            for rank, kind in enumerate(kinds):
                again = subprocess.Popen(
                    [each for each in self.command(kind, seed) if each not in ("--pause", "0.001")],
                    stdout=subprocess.PIPE)
                compared = subprocess.run(["cmp", "-", result.rank_file(rank)],
                                          stdin=again.stdout, capture_output=True, check=False)
                again.stdout.close()
                again.wait()
                self.assertEqual(compared.returncode, 0, (kind, seed, compared.stdout))

        self.each_seed(one_seed)

    def test_f27_nothing_of_it_reaches_a_terminal(self):
        def one_seed(chance):
            seed = chance.randrange(1 << 30)
            for kind in ("terminal", "not-utf8", "zeros", "lines-never"):
                shown = self.on_terminal(["run", "--console", "all", "--", program("odd_output"),
                                          kind, "--bytes", "96K", "--seed", seed])
                found = self.HARMFUL.search(shown)
                self.assertIsNone(found, found and (kind, seed, shown[max(0, found.start() - 40):
                                                                      found.end() + 40]))

        self.each_seed(one_seed)

    def on_terminal(self, args):
        """What a muster on a pseudo-terminal writes there."""
        master, slave = pty.openpty()
        screen = bytearray()

        def read():
            while True:
                try:
                    data = os.read(master, 1 << 16)
                except OSError:  # the last writer has closed it
                    return
                screen.extend(data)

        reader = threading.Thread(target=read)
        try:
            process = subprocess.Popen([MUSTER, *map(str, args)], stdin=slave, stdout=slave,
                                       stderr=slave, cwd=self.work_dir, start_new_session=True,
                                       env=self.environment({"TERM": "xterm"}))
        finally:
            os.close(slave)
        self.addCleanup(muster_test.end, process)
        reader.start()
        self.assertEqual(process.wait(120), 0)
        reader.join(30)
        os.close(master)
        return bytes(screen)


if __name__ == "__main__":
    muster_test.main()
