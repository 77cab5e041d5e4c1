"""`muster logs` and `muster runs`: what was stored, printed by another process than the run's own."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import time
from datetime import datetime, timezone

import muster_test
from muster_test import MUSTER, MusterTest, PYTHON, flood_difference, program, wait_until

MIB = 1 << 20
NOBODY = 65534

# Each rank says something in its turn, on both streams in turn, and hands over once that is stored:
# the order of the lines is known, however the machine is loaded.
IN_TURN = """
import os, sys, time
rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
runs, tokens = sys.argv[1:]
directory = f"{runs}/{os.environ['MUSTER_RUN_ID']}/ranks/{rank:05}/attempt-0"
stored = {"stdout": 0, "stderr": 0}
for turn in range(6):
    before = f"{tokens}/{turn * ranks + rank}"
    while not os.path.exists(before):
        time.sleep(0.001)
    name = "stdout" if turn % 2 == 0 else "stderr"
    line = f"turn {turn} of rank {rank} at {time.time()}\\n"
    getattr(sys, name).write(line)
    getattr(sys, name).flush()
    stored[name] += len(line)
    while os.path.getsize(f"{directory}/{name}.log") < stored[name]:
        time.sleep(0.001)
    time.sleep(0.002)  # the times of a stream are in steps of a millisecond
    open(f"{tokens}/{turn * ranks + rank + 1}", "w").close()
"""

# Prints what is not text, and waits until a file appears, if one is named.
SAYS = "import sys, os; os.write(1, bytes.fromhex(sys.argv[1])); os.write(2, b'and stderr\\n')"
UNTIL = "while [ ! -e \"$0\" ]; do sleep 0.02; done"


def seconds_of(stamp):
    moment = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return moment.timestamp()


class LogsTest(MusterTest):
    def run_ranks(self, count, *command, backend="direct", **keywords):
        result = self.run_muster(["run", "-n", count, "--backend", backend, "--console", "none",
                                  "--", *command], **keywords)
        return result

    def start_ranks(self, count, *command, backend="direct", **keywords):
        running = self.start_muster(["run", "-n", count, "--backend", backend, "--console", "none",
                                     "--", *command], **keywords)
        wait_until(lambda: running.run_directory and (running.run_directory / "run.json").exists(),
                   30, "run.json")
        return running

    def logs(self, *words, **keywords):
        result = self.run_muster(["logs", *words], **keywords)
        self.assert_code(result, 0)
        return result


    def run_in_turn(self, backend="direct"):
        tokens = self.directory / f"tokens-{backend}"
        tokens.mkdir()
        (tokens / "0").touch()
        self.assert_code(self.run_ranks(2, PYTHON, "-c", IN_TURN, self.runs_dir, tokens,
                                        backend=backend), 0)


class StoredLogs(LogsTest):
    def test_streams_come_rank_by_rank_on_their_sides(self):
        self.run_ranks(3, "sh", "-c", "echo out $RANK; echo err $RANK >&2")
        result = self.logs()
        self.assertEqual(result.stdout, "[0] out 0\n[1] out 1\n[2] out 2\n")
        self.assertEqual(result.stderr, "[0] err 0\n[1] err 1\n[2] err 2\n")
        result = self.logs("--rank", "1-2", "--stream", "stderr", "--no-prefix", "latest")
        self.assertEqual((result.stdout, result.stderr), ("", "err 1\nerr 2\n"))

    def test_merged_lines_are_in_the_order_in_which_they_were_written(self):
        for backend in ["direct"] + (["mpi"] if muster_test.MPIRUN else []):
            self.run_in_turn(backend)
            merged = self.logs("--merge", "--no-prefix").stdout.splitlines()
            self.assertEqual([line.split(" at ")[0] for line in merged],
                             [f"turn {turn} of rank {rank}"
                              for turn in range(6) for rank in range(2)])
            stamped = self.logs("--merge", "--timestamps").stdout.splitlines()
            times = [seconds_of(line.split()[0]) for line in stamped]
            self.assertEqual(times, sorted(times))
            said = [float(line.split()[-1]) for line in stamped]
            for moment, before, after in zip(times, said, [*said[1:], time.time()]):
                self.assertGreater(moment, before - 0.001)
                self.assertLess(moment, after)

    def test_since_and_until_are_moments_of_the_lines(self):
        self.run_in_turn()
        lines = self.logs("--merge", "--timestamps", "--no-prefix").stdout.splitlines()
        stamp = lines[5].split()[0]
        later = self.logs("--merge", "--timestamps", "--no-prefix", "--since", stamp)
        self.assertEqual(later.stdout.splitlines(), lines[5:])
        until = self.logs("--merge", "--timestamps", "--no-prefix", "--until", stamp)
        self.assertEqual(until.stdout.splitlines(), lines[:6])
        self.assertEqual(self.logs("--since", "1h", "--merge", "-t", "--no-prefix").stdout,
                         "\n".join(lines) + "\n")
        self.assertEqual(self.logs("--until", "1h").stdout, "")

    def test_lines_are_safe_and_raw_is_exact(self):
        bytes_ = b"\x1b]0;title\x07\xff\xfe\x00\r\nno newline at the end\xc3"
        self.assert_code(self.run_ranks(1, PYTHON, "-c", SAYS, bytes_.hex()), 0)
        self.assertEqual(self.logs("--stream", "stdout").stdout_bytes,
                         b"^[]0;title^G\\xff\\xfe^@\nno newline at the end\\xc3\n")
        self.assertEqual(self.logs("--stream", "stdout", "--raw").stdout_bytes, bytes_)

    def test_raw_is_exact_for_a_flood_and_for_one_huge_line(self):
        size = 64 * MIB
        result = self.run_ranks(2, program("flood"), "--bytes", size, "--no-newline-for", size)
        self.assert_code(result, 0)
        file = self.directory / "raw"
        with open(file, "wb") as out:
            subprocess.run([MUSTER, "logs", "--rank", "1", "--stream", "stdout", "--raw"],
                           env=self.environment(), stdout=out, check=True, timeout=60)
        self.assertIsNone(flood_difference(file, 1, size, size))
        # As a line for people: in pieces, in little memory.
        limited = ["prlimit", f"--as={200 * MIB}"] if shutil.which("prlimit") else []
        done = subprocess.run([*limited, MUSTER, "logs", "--rank", "1", "--merge"],
                              env=self.environment(), stdout=subprocess.PIPE, check=True,
                              timeout=60)
        self.assertTrue(done.stdout.endswith(b"\n"))  # a \r forgets what stands before it
        shutil.rmtree(result.run_directory)

    def test_logs_of_the_run_itself(self):
        self.assert_code(self.run_ranks(2, "echo", "hello"), 0)
        events = [json.loads(line)["event"]
                  for line in self.logs("--stream", "events").stdout.splitlines()]
        self.assertIn("rank_started", events)
        self.assertIn("running after", self.logs("--stream", "launcher").stdout)
        merged = self.logs("--stream", "both,events", "--merge").stdout.splitlines()
        hello = merged.index("[0] hello")
        ended = next(at for at, line in enumerate(merged) if "rank_ended" in line)
        started = next(at for at, line in enumerate(merged) if "rank_started" in line)
        self.assertLess(started, ended)
        self.assertLess(hello, len(merged) - 1)
        result = self.run_muster(["logs", "--stream", "mpirun"])
        self.assert_code(result, 64)
        self.assertIn("it was started without mpirun", result.stderr)

    def test_many_lines_of_many_ranks_merge(self):
        lines, ranks = 20_000, 16
        self.assert_code(self.run_ranks(ranks, "seq", "-f", "line %.0f", lines), 0)
        merged = self.logs("--merge", timeout=60).stdout.splitlines()
        self.assertEqual(len(merged), lines * ranks)
        of_three = [line for line in merged if line.startswith("[3] ")]
        self.assertEqual(of_three, [f"[3] line {i + 1}" for i in range(lines)])
        self.assertEqual(self.logs("--rank", "3", "--tail", "2").stdout,
                         f"line {lines - 1}\nline {lines}\n")

    def test_a_reader_that_has_seen_enough_ends_it_quietly(self):
        self.assert_code(self.run_ranks(1, "seq", "200000"), 0)
        done = subprocess.run(["bash", "-c", f"'{MUSTER}' logs | head -1; echo ${{PIPESTATUS[0]}}"],
                              env=self.environment(), capture_output=True, timeout=30, check=False)
        self.assertEqual(done.stdout, b"1\n141\n")
        self.assertEqual(done.stderr, b"")

    def test_a_file_that_is_not_ours_to_read_is_told(self):
        result = self.run_ranks(2, "echo", "hello")
        os.remove(result.rank_file(1))
        os.mkdir(result.rank_file(1))
        failed = self.run_muster(["logs"])
        self.assert_code(failed, 70)
        self.assertEqual(failed.stdout, "[0] hello\n")
        self.assertIn("Is a directory", failed.stderr)

    @muster_test.needs_root
    def test_another_user_may_read_a_run(self):
        running = self.start_ranks(1, "sh", "-c", f"echo hello; {UNTIL}", self.directory / "go")
        wait_until(lambda: (running.run_directory / "ranks/00000/attempt-0/stdout.log.index")
                   .exists(), 30)
        os.chmod(self.directory, 0o755)
        env = self.environment()
        if subprocess.run(["setpriv", f"--reuid={NOBODY}", "--clear-groups", MUSTER, "--version"],
                          env=env, capture_output=True, check=False).returncode != 0:
            (self.directory / "go").touch()
            self.skipTest("another user cannot execute this muster")
        prefix = ["setpriv", f"--reuid={NOBODY}", "--clear-groups"]
        self.assertEqual(self.logs(prefix=prefix).stdout, "hello\n")
        runs = self.run_muster(["runs", "--json"], prefix=prefix)
        self.assertEqual(json.loads(runs.stdout)[0]["status"], "running")
        following = self.start_muster(["logs", "-f"], prefix=prefix)
        time.sleep(0.2)
        (self.directory / "go").touch()
        self.assert_code(running.wait(), 0)
        followed = following.wait(10)
        self.assert_code(followed, 0)
        self.assertEqual(followed.stdout, "hello\n")


class FollowedLogs(LogsTest):
    def test_lines_come_while_the_run_goes_on_and_it_ends_with_the_run(self):
        running = self.start_ranks(2, "sh", "-c", f"echo first $RANK; {UNTIL}; echo last $RANK",
                                   self.directory / "go")
        following = self.start_muster(["logs", "--follow"])
        merging = self.start_muster(["logs", "-f", "--merge", "--timestamps"])
        for reader in (following, merging):
            wait_until(lambda reader=reader: reader.output().count(b"first") == 2, 20)
            self.assertIsNone(reader.process.poll())
        (self.directory / "go").touch()
        self.assert_code(running.wait(), 0)
        result = following.wait(10)
        self.assert_code(result, 0)
        self.assertEqual(sorted(result.stdout.splitlines()),
                         ["[0] first 0", "[0] last 0", "[1] first 1", "[1] last 1"])
        self.assertEqual(result.stderr, "")
        merged = merging.wait(10)
        self.assert_code(merged, 0)
        self.assertEqual(merged.stdout, self.logs("--merge", "--timestamps").stdout)

    def test_a_line_comes_at_once(self):
        # The figure is benchmarks/logs.py's; here only that it is no matter of a second.
        running = self.start_ranks(1, PYTHON, "-uc", "import time\n"
                                   "for i in range(20): print(time.time()); time.sleep(0.05)")
        late = []
        with subprocess.Popen([*muster_test.SANDBOX, MUSTER, "logs", "-f"],
                              env=self.environment(), stdout=subprocess.PIPE) as reader:
            for line in reader.stdout:
                late.append(time.time() - float(line))
        self.assert_code(running.wait(), 0)
        self.assertEqual(len(late), 20)
        self.assertLess(sorted(late[5:])[7], 1.0, late)  # the median of those that were followed

    def test_every_byte_of_a_flood_is_followed(self):
        size = 8 * MIB
        running = self.start_ranks(2, program("flood"), "--bytes", size, "--pause", "0.0005")
        file = self.directory / "raw"
        with open(file, "wb") as out:
            subprocess.run([MUSTER, "logs", "-f", "--raw", "--rank", "0", "--stream", "stdout"],
                           env=self.environment(), stdout=out, check=True, timeout=60)
        self.assert_code(running.wait(), 0)
        self.assertIsNone(flood_difference(file, 0, size))

    def test_a_lost_launcher_ends_it_with_a_word(self):
        running = self.start_ranks(2, "sh", "-c", "echo hello $RANK; exec sleep 100")
        following = self.start_muster(["logs", "-f"])
        wait_until(lambda: following.output().count(b"hello") == 2, 20)
        running.send(signal.SIGKILL)
        running.process.wait()
        result = following.wait(15)
        self.assert_code(result, 0)
        self.assertRegex(result.stderr, r"^muster: the launcher of run \S+ is gone: no more will "
                                        r"come\n$")
        table = self.run_muster(["runs"]).stdout
        self.assertIn("lost (launcher gone)", table)
        self.assert_nothing_left()

    def test_many_ranks_cost_little_while_nothing_is_written(self):
        running = self.start_ranks(48, "sh", "-c", f"echo hello; {UNTIL}", self.directory / "go")
        following = self.start_muster(["logs", "-f", "--merge"])
        wait_until(lambda: following.output().count(b"hello") == 48, 30)

        def cpu_seconds():
            with open(f"/proc/{following.pid}/stat", encoding="ascii") as stat:
                fields = stat.read().split()
            return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

        before = cpu_seconds()
        time.sleep(1)
        self.assertLess(cpu_seconds() - before, 0.2)
        (self.directory / "go").touch()
        self.assert_code(running.wait(), 0)
        self.assert_code(following.wait(10), 0)

    def test_it_ends_when_its_reader_goes_or_at_ctrl_c(self):
        running = self.start_ranks(1, "sh", "-c", f"echo hello; {UNTIL}", self.directory / "go")
        done = subprocess.run(["bash", "-c", f"'{MUSTER}' logs -f | head -1; echo "
                               "${PIPESTATUS[0]}"], env=self.environment(), capture_output=True,
                              timeout=20, check=False)
        self.assertEqual(done.stdout, b"hello\n141\n")
        following = self.start_muster(["logs", "-f"])
        wait_until(lambda: b"hello" in following.output(), 20)
        following.send(signal.SIGINT)
        result = following.wait(10)
        self.assertEqual(result.code, -signal.SIGINT)  # a shell says 130
        self.assertEqual(result.stderr, "")
        (self.directory / "go").touch()
        self.assert_code(running.wait(), 0)


class Runs(LogsTest):
    def test_each_run_has_its_line(self):
        self.assertEqual(self.run_muster(["runs"]).stderr, f"muster: no runs in {self.runs_dir}\n")
        self.assertEqual(self.run_muster(["runs", "--json"]).stdout, "[]\n")
        self.assert_code(self.run_muster(["run", "--run-id", "good", "--", "true"]), 0)
        time.sleep(0.01)
        self.assert_code(self.run_muster(["run", "--run-id", "bad", "-n", "2", "--backend",
                                          "direct", "--", "sh", "-c", "exit 7"]), 7)
        damaged = self.runs_dir / "damaged"
        damaged.mkdir()
        (damaged / "run.json").write_text("{", encoding="utf-8")
        result = self.run_muster(["runs"])
        self.assert_code(result, 0)
        lines = result.stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["run", "bad", "good", "damaged"])
        self.assertRegex(lines[1], r"^bad +failed +2 .* 7 training  rank [01] exited with 7 +"
                                   r"sh -c 'exit 7'$")
        self.assertRegex(lines[2], r"^good +succeeded +1 .* 0 +true$")
        self.assertRegex(lines[3], r"^damaged +unreadable ")
        self.assertEqual([row["run_id"] for row in json.loads(
            self.run_muster(["runs", "--json", "--status", "failed"]).stdout)], ["bad"])
        self.assertEqual(len(self.run_muster(["runs", "--limit", "1"]).stdout.splitlines()), 2)

    def test_a_running_run_is_running_and_a_killed_one_lost(self):
        running = self.start_ranks(1, "sleep", "100")
        self.assertEqual(self.statuses(), ["running"])
        running.send(signal.SIGKILL)
        running.process.wait()
        wait_until(lambda: self.statuses() == ["lost"], 10)
        self.assert_nothing_left()

    def test_a_container_beside_it_sees_that_it_runs(self):
        """Another pid namespace: there the launcher's pid means nothing, but its lock does."""
        unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
        if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no pid namespace can be made here")
        running = self.start_ranks(1, "sleep", "100")
        self.assertEqual(self.statuses(prefix=unshare), ["running"])
        running.send(signal.SIGKILL)
        running.process.wait()
        wait_until(lambda: self.statuses(prefix=unshare) == ["lost"], 10)

    def statuses(self, **keywords):
        result = self.run_muster(["runs", "--json"], **keywords)
        self.assert_code(result, 0)
        return [row["status"] for row in json.loads(result.stdout)]


class Picked(LogsTest):
    """--grep, --head, --json, and gaps."""

    LINES = "for i in range(300): print(('epoch' if i % 100 == 0 else 'step'), i)"

    def lines_of(self, *args, code=0):
        result = self.run_muster(["logs", *args])
        self.assert_code(result, code)
        return result.stdout.splitlines()

    def test_lines_that_match(self):
        self.assert_code(self.run_ranks(2, PYTHON, "-c", self.LINES), 0)
        self.assertEqual(self.lines_of("--grep", "^epoch", "--rank", "1"),
                         ["epoch 0", "epoch 100", "epoch 200"])
        self.assertEqual(self.lines_of("--grep", "(?i)EPOCH", "--tail", "1"),
                         ["[0] epoch 200", "[1] epoch 200"])
        self.assertEqual(sorted(self.lines_of("--grep", "00$", "--head", "1", "--merge")),
                         ["[0] epoch 100", "[1] epoch 100"])
        self.assertEqual(self.lines_of("--head", "2", "--rank", "0"), ["epoch 0", "step 1"])

    def test_as_json(self):
        self.assert_code(self.run_ranks(2, PYTHON, "-c", SAYS, "ff410a42".upper()), 0)
        objects = [json.loads(line) for line in self.lines_of("--json")]
        self.assertEqual({(each["rank"], each["stream"]) for each in objects},
                         {(rank, name) for rank in (0, 1) for name in ("stdout", "stderr")})
        first = objects[0]
        self.assertEqual((first["rank"], first["offset"], first["base64"]), (0, 0, "/0E="))
        self.assertLess(abs(seconds_of(first["time"]) - time.time()), 3600)
        self.assertEqual(objects[1]["text"], "B")
        self.assertFalse(objects[1]["newline"])
        events = [json.loads(line) for line in self.lines_of("--json", "--stream", "events")]
        self.assertEqual(events[0]["stream"], "events")
        self.assertTrue(json.loads(events[0]["text"])["time"])

    def test_followed(self):
        flag = self.directory / "flag"
        script = f"echo epoch 1; echo step; {UNTIL}; echo epoch 2"
        running = self.start_ranks(1, "sh", "-c", script, flag)
        with subprocess.Popen([*muster_test.SANDBOX, MUSTER, "logs", "--follow", "--grep",
                               "epoch"], cwd=self.directory, env=self.environment(),
                              stdout=subprocess.PIPE, text=True) as follower:
            self.assertEqual(follower.stdout.readline(), "epoch 1\n")
            flag.touch()
            self.assertEqual(follower.stdout.read(), "epoch 2\n")
            self.assertEqual(follower.wait(60), 0)
        self.assert_code(running.wait(), 0)

    def test_what_cannot_be(self):
        self.assert_code(self.run_ranks(1, "true"), 0)
        for args, text in ((["--grep", "a**"], "at character 2"),
                           (["--head", "1", "--tail", "1"], "exclude each other"),
                           (["--raw", "--json"], "exclude each other"),
                           (["--raw", "--grep", "a"], "exclude each other"),
                           (["--json", "--timestamps"], "exclude each other")):
            result = self.run_muster(["logs", *args])
            self.assert_code(result, 64)
            self.assertIn(text, result.stderr)

    def test_gaps_are_told(self):
        result = self.run_ranks(1, "sh", "-c", "printf 'one\\ntwo\\n'")
        self.assert_code(result, 0)
        ledger = result.run_directory / ".muster" / "streams.jsonl"
        with open(ledger, "a", encoding="utf-8") as file:
            file.write(json.dumps({"stream": "ranks/00000/attempt-0/stdout.log",
                                   "gap": {"from": 8, "to": 1008, "reason": "overflow"}}) + "\n")
        self.assertEqual(self.lines_of("--rank", "0"),
                         ["one", "two", "… 1000 B are missing here (overflow) …"])
        self.assertEqual(json.loads(self.lines_of("--json")[-1])["gap"],
                         {"bytes": 1000, "reason": "overflow"})


class TwoNodes(MusterTest):
    def test_their_lines_are_merged_by_one_clock(self):
        """Node 1's clock is an hour ahead, as the collector has measured."""
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "true"])
        self.assert_code(result, 0)
        directory = result.run_directory
        start, hour = 1_700_000_000 * 10**9, 3600 * 10**9
        for rank in (0, 1):
            log = directory / f"ranks/{rank:05}/attempt-0/stdout.log"
            lines = [f"line {2 * i + rank}\n" for i in range(4)]
            log.write_text("".join(lines), encoding="utf-8")
            records, offset = b"MUSTIDX\x01", 0
            for i, line in enumerate(lines):
                at = start + (2 * i + rank) * 5_000_000 + rank * hour  # 5 ms apart
                records += struct.pack("<qQ", at, offset)
                offset += len(line)
            log.with_name("stdout.log.index").write_bytes(records)
        record = json.loads((directory / "run.json").read_text(encoding="utf-8"))
        record["plan"]["nodes"] = [{"node_rank": 0, "hostname": "a"},
                                   {"node_rank": 1, "hostname": "b"}]
        (directory / "run.json").write_text(json.dumps(record), encoding="utf-8")
        apart = self.run_muster(["logs", "--merge", "--no-prefix"]).stdout.split("\n")[:-1]
        self.assertEqual([int(line[5:]) for line in apart], [0, 2, 4, 6, 1, 3, 5, 7])
        # Measured with an error that is less than the lines are apart.
        (directory / ".muster/clock.jsonl").write_text("".join(
            json.dumps({"writer": "node-1", "offset_ns": hour + error, "round_trip_ns": trip}) + "\n"
            for error, trip in ((9 * 10**8, 2 * 10**9), (-4_000_000, 8_000_000))), encoding="utf-8")
        merged = self.run_muster(["logs", "--merge", "--no-prefix"]).stdout.split("\n")[:-1]
        self.assertEqual([int(line[5:]) for line in merged], list(range(8)))


if __name__ == "__main__":
    muster_test.main()
