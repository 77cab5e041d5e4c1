"""Every byte that a rank's write() returned for is stored, once and in order, or a gap says so."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time

import muster_test
from muster_test import MusterTest, PYTHON, ROUNDS, flood_count, flood_difference, program

MIB = 1 << 20
PIPE_USER = 3_217_466  # nobody else's, because all pipes of a user count
FULL_SIZE = ROUNDS > 5
FLOOD_BYTES = (200 if FULL_SIZE else 20) * MIB
NO_NEWLINE_FOR = min(64 * MIB, FLOOD_BYTES * 3 // 4)

# Sends its stdout over a UNIX socket to a process that Muster knows nothing of, and waits until
# that process says that it has it.
GIVE_AWAY_STDOUT = """
import socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect(sys.argv[1])
print("before", flush=True)
socket.send_fds(peer, [b"x"], [1])
peer.recv(1)
"""


def training_pids(run_directory):
    """{rank: pid} of those that have started, as events.jsonl says."""
    pids = {}
    try:
        lines = (run_directory / "events.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, TypeError):
        return pids
    for line in lines:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:  # being written
            continue
        if event.get("event") == "rank_started":
            pids[event["rank"]] = event["pid"]
    return pids


class Streams:
    """The same claims for both starters."""

    backend = ""

    def run_ranks(self, count, command, *options, **keywords):
        args = ["run", "-n", count, "--backend", self.backend, *options, "--", *command]
        return self.run_muster(args, **keywords)

    def start_ranks(self, count, command, *options, **keywords):
        args = ["run", "-n", count, "--backend", self.backend, *options, "--", *command]
        return self.start_muster(args, **keywords)

    def assert_flood(self, result, rank, length, stream="stdout.log", payload=None, quiet_for=0):
        difference = flood_difference(result.rank_file(rank, stream),
                                      rank if payload is None else payload, length, quiet_for)
        self.assertIsNone(difference)

    def test_eight_floods_arrive_identical(self):
        needed = 8 * FLOOD_BYTES * 5 // 4 + (1 << 30)
        if shutil.disk_usage(self.directory).free < needed:
            self.skipTest(f"less than {needed >> 20} MiB free in {self.directory}")
        result = self.run_ranks(8, [program("flood"), "--bytes", FLOOD_BYTES, "--no-newline-for",
                                    NO_NEWLINE_FOR], "--console", "none", timeout=400)
        self.assert_code(result, 0)
        for rank in range(8):
            self.assert_flood(result, rank, FLOOD_BYTES, quiet_for=NO_NEWLINE_FOR)
            self.assertEqual(result.rank_bytes(rank, "stderr.log"), b"")
        self.assertEqual(result.run_json["gaps"], [])
        shutil.rmtree(result.run_directory)

    def test_both_streams_flood_at_once_and_stay_apart(self):
        flood = program("flood")
        result = self.run_ranks(2, [
            "sh", "-c", f"'{flood}' --bytes 6M & '{flood}' --bytes 5M --stderr "
                        "--rank $((RANK + 100)); wait"])
        self.assert_code(result, 0)
        for rank in range(2):
            self.assert_flood(result, rank, 6 * MIB)
            self.assert_flood(result, rank, 5 * MIB, "stderr.log", payload=rank + 100)

    def test_the_console_changes_no_stored_byte(self):
        result = self.run_ranks(2, [program("flood"), "--bytes", "4M"], "--console", "all")
        self.assert_code(result, 0)
        for rank in range(2):
            self.assert_flood(result, rank, 4 * MIB)

    def test_a_rank_that_prints_and_is_killed_loses_nothing(self):
        for _ in range(ROUNDS):
            result = self.run_ranks(2, [program("prints_then_killed"), "500", "--rank", "1"],
                                    "--set", "limits.failure_grace_period=0s")
            self.assert_code(result, 128 + signal.SIGKILL)
            self.assertEqual(result.run_json["first_failure"]["rank"], 1)
            for name in ("stdout", "stderr"):
                lines = [f"rank 1 {name} line {line}" for line in range(500)]
                self.assertEqual(result.rank_bytes(1, f"{name}.log").decode(),
                                 "\n".join([*lines, "rank 1 last words"]))
            self.assertEqual(result.run_json["gaps"], [])

    def test_a_rank_killed_after_its_last_write_loses_nothing(self):
        for round_number in range(ROUNDS):
            size = 1 + 700_001 * (round_number + 1)
            result = self.run_ranks(1, [program("flood"), "--bytes", size, "--kill-self", "9"],
                                    "--console", "none")
            self.assert_code(result, 128 + signal.SIGKILL)
            self.assert_flood(result, 0, size)

    def test_a_rank_killed_in_the_middle_keeps_what_write_returned_for(self):
        chunk = 64 << 10
        chance = random.Random(7)
        for round_number in range(ROUNDS):
            counter = self.directory / f"count-{round_number}"
            running = self.start_ranks(1, [program("flood"), "--bytes", "4G", "--chunk", chunk,
                                           "--pause", "0.0002", "--count-file", counter],
                                       "--console", "none")
            pids = muster_test.wait_until(lambda: training_pids(running.run_directory), 30)
            time.sleep(chance.uniform(0, 0.3))
            os.kill(pids[0], signal.SIGKILL)
            result = running.wait()
            self.assert_code(result, 128 + signal.SIGKILL)
            returned = flood_count(counter) if counter.exists() else 0
            stored = result.rank_file(0).stat().st_size
            self.assertGreaterEqual(stored, returned)
            self.assertLessEqual(stored, returned + chunk)  # the write that was cut short
            self.assert_flood(result, 0, stored)

    def test_silent_ranks_have_empty_files(self):
        result = self.run_ranks(2, ["true"])
        self.assert_code(result, 0)
        for rank in range(2):
            for name in ("stdout.log", "stderr.log", "metrics.jsonl"):
                self.assertEqual(result.rank_bytes(rank, name), b"")

    def test_a_rank_may_close_its_streams_and_go_on(self):
        result = self.run_ranks(2, ["sh", "-c", "echo first; exec 1>&- 2>&-; sleep 0.3; exit 5"])
        self.assert_code(result, 5)
        rank = result.run_json["first_failure"]["rank"]  # the other one may have been cut short
        self.assertEqual(result.rank_bytes(rank), b"first\n")

    def test_metrics_lines_end_in_metrics_jsonl(self):
        # 3,000 lines are more than the FIFO holds; the last line goes in right before the end.
        script = ('i=0; while [ $i -lt 3000 ]; do echo "{\\"rank\\": $RANK, \\"step\\": $i}"; '
                  'i=$((i + 1)); done > "$MUSTER_METRICS"; kill -9 $$')
        result = self.run_ranks(2, ["sh", "-c", f"[ $RANK = 1 ] && sleep 1; {script}"],
                                "--set", "limits.failure_grace_period=30s")
        self.assert_code(result, 128 + signal.SIGKILL)
        rank = result.run_json["first_failure"]["rank"]
        lines = result.rank_bytes(rank, "metrics.jsonl").decode().splitlines()
        self.assertEqual([json.loads(line) for line in lines],
                         [{"rank": rank, "step": step} for step in range(3000)])

    def test_a_metrics_writer_may_come_and_go(self):
        result = self.run_ranks(2, ["sh", "-c", 'for i in 1 2 3; do echo $i > "$MUSTER_METRICS"; '
                                                "sleep 0.05; done"])
        self.assert_code(result, 0)
        for rank in range(2):
            self.assertEqual(result.rank_bytes(rank, "metrics.jsonl"), b"1\n2\n3\n")

    def test_user_logs_link_to_the_stored_output(self):
        result = self.run_ranks(2, ["sh", "-c", "echo out $RANK"])
        self.assert_code(result, 0)
        names = sorted(path.name for path in (result.run_directory / "user_logs").iterdir())
        self.assertEqual(names, ["std_log_process_0.txt", "std_log_process_1.txt"])
        for rank, name in enumerate(names):
            link = result.run_directory / "user_logs" / name
            self.assertFalse(os.path.isabs(os.readlink(link)))  # a run directory may be moved
            self.assertEqual(link.read_bytes(), f"out {rank}\n".encode())

    def test_a_descendant_that_holds_the_pipe_is_ended_with_its_rank(self):
        pids_file = self.directory / "pids"
        result = self.run_ranks(
            2, ["sh", "-c", f"echo mine; exec '{program('double_fork')}' --hold-pipe "
                            f"--ignore-term --count 2 --pids '{pids_file}'"],
            "--set", "limits.drain_timeout=600s", timeout=120)  # no cut: its own end is waited for
        self.assert_code(result, 0)
        self.assertEqual(result.run_json["gaps"], [])
        self.assertEqual(result.rank_bytes(0), b"mine\n")
        pids = [int(line) for line in pids_file.read_text(encoding="utf-8").split()]
        self.assertEqual(len(pids), 4)
        self.assertEqual([pid for pid in pids if muster_test.is_alive(pid)], [])
        self.assert_nothing_left()

    def test_what_a_descendant_writes_in_its_two_seconds_is_stored(self):
        result = self.run_ranks(
            2, ["sh", "-c", "setsid sh -c 'sleep 0.4; echo late $RANK; echo worse >&2' & exit 0"])
        self.assert_code(result, 0)
        for rank in range(2):
            self.assertEqual(result.rank_bytes(rank), f"late {rank}\n".encode())
            self.assertEqual(result.rank_bytes(rank, "stderr.log"), b"worse\n")

    def test_a_holder_outside_the_run_is_cut_after_drain_timeout_with_a_gap(self):
        path = str(self.directory / "fds.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(60)
            running = self.start_ranks(1, [PYTHON, "-c", GIVE_AWAY_STDOUT, path],
                                       "--set", "limits.drain_timeout=1s")
            peer, _ = listener.accept()
        with peer:
            _, fds, _, _ = socket.recv_fds(peer, 1, 1)
            try:
                peer.send(b"x")
                os.write(fds[0], b"from outside\n")
                result = running.wait()
                with self.assertRaises(BrokenPipeError):  # nobody reads it any more
                    os.write(fds[0], b"too late\n")
            finally:
                os.close(fds[0])
        self.assert_code(result, 0)
        self.assertEqual(result.rank_bytes(0), b"before\nfrom outside\n")
        [gap] = result.run_json["gaps"]
        self.assertEqual(gap["stream"], "ranks/00000/attempt-0/stdout.log")
        self.assertEqual(gap["offset"], len(b"before\nfrom outside\n"))
        self.assertIsNone(gap["length"])
        self.assertIn("drain_timeout", gap["reason"])
        self.assertRegex(result.stderr, r"missing: .*stdout\.log from offset 20 .*drain_timeout")
        self.assert_nothing_left()


class DirectStreams(Streams, MusterTest):
    backend = "direct"

    def test_one_process_has_the_single_log_name(self):
        result = self.run_muster(["run", "--", "echo", "alone"])
        self.assert_code(result, 0)
        log = result.run_directory / "user_logs/std_log.txt"
        self.assertEqual(log.read_bytes(), b"alone\n")

    @muster_test.needs_root
    def test_runs_of_one_user_leave_each_other_and_new_pipes_room(self):
        """All pipes of a user share 64 MiB; beyond it each new one holds 8 KiB."""
        os.chmod(self.directory, 0o755)
        for directory in (self.directory, self.runtime_dir, self.work_dir):
            os.chown(directory, PIPE_USER, PIPE_USER)
        prefix = ["setpriv", f"--reuid={PIPE_USER}", f"--regid={PIPE_USER}", "--clear-groups"]
        if subprocess.run([*prefix, muster_test.MUSTER, "--version"], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("another user cannot execute this muster")
        go = self.directory / "go"
        script = (f"[ $RANK = 0 ] && {PYTHON} -c 'import fcntl; print(fcntl.fcntl(1, 1032), "
                  f"flush=True)'; while [ ! -e '{go}' ]; do sleep 0.05; done")
        runs = []
        for number in range(5):
            runs.append(self.start_ranks(8, ["sh", "-c", script], "--run-id", f"r{number}",
                                         prefix=prefix))
            log = self.runs_dir / f"r{number}/ranks/00000/attempt-0/stdout.log"
            muster_test.wait_until(lambda log=log: log.exists() and log.read_bytes(), 30)
        new = subprocess.run([*prefix, PYTHON, "-c", "import fcntl, os; "
                              "print(fcntl.fcntl(os.pipe()[0], 1032))"],
                             capture_output=True, check=True)
        go.touch()
        for running in runs:
            self.assert_code(running.wait(), 0)
        sizes = [int((self.runs_dir / f"r{number}/ranks/00000/attempt-0/stdout.log").read_text())
                 for number in range(5)]
        self.assertEqual(int(new.stdout), 64 << 10, sizes)
        self.assertGreater(sizes[0], 64 << 10)
        self.assertEqual([size for size in sizes if size < 64 << 10], [])

    def test_names_of_many_logs_sort(self):
        result = self.run_ranks(11, ["sh", "-c", "echo $RANK"])
        self.assert_code(result, 0)
        logs = sorted((result.run_directory / "user_logs").iterdir())
        self.assertEqual(logs[2].name, "std_log_process_02.txt")
        self.assertEqual([log.read_bytes() for log in logs],
                         [f"{rank}\n".encode() for rank in range(11)])


@muster_test.needs_mpirun
class MpirunStreams(Streams, MusterTest):
    backend = "mpi"


if __name__ == "__main__":
    muster_test.main()
