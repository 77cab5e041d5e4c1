"""Runs of several launchers, each on a node of its own: network, host name, shared memory."""

import json
import signal
import subprocess
import time

import muster_test
from muster_test import MPIRUN, PYTHON, wait_until
from nodes import Decoys, NodesTest

# Rank r's share of a sum that is known, over MPI.
SUM = ("import os\n"
       "from mpi4py import MPI\n"
       "world = MPI.COMM_WORLD\n"
       "total = world.allreduce((world.rank + 1) ** 3)\n"
       "os.makedirs('outputs', exist_ok=True)\n"
       "open(f'outputs/sum-{world.rank}', 'w').write(f'{total} of {world.size}\\n')\n"
       "print(f'rank {world.rank} of {world.size} on {os.uname().nodename}: {total}', flush=True)\n")


class Runs(NodesTest):
    def stored(self, rank, name="stdout"):
        path = self.run_directory() / f"ranks/{rank:05d}/attempt-0/{name}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def events(self):
        text = (self.run_directory() / "events.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def run_directory(self):
        [directory] = self.run_directories()
        return directory

    def in_folders_of_their_own(self, count):
        """Working directories that the nodes do not share."""
        folders = []
        for rank in range(count):
            folder = self.work_dir / f"node-{rank}"
            folder.mkdir()
            folders.append(folder)
        return folders

    def start_in(self, folders, args, **options):
        self.head_address = self.world[0].address
        words = ["sh", "-c", 'cd "$0" && exec "$@"']
        started = []
        for node, folder in zip(self.world, folders):
            joining = self.joining(node, len(self.world))
            started.append(self.start_muster(["run", *joining, *args], env=node.environment,
                                             prefix=[*node.inside, *words, folder], **options))
        return started

    def verify(self):
        done = self.run_muster(["verify", str(self.run_directory())])
        self.assert_code(done, 0)

    def test_direct_on_three_nodes(self):
        self.make_world(3)
        folders = self.in_folders_of_their_own(3)
        started = self.start_in(folders, [
            "-n", "2", "--backend", "direct", "--", "sh", "-c",
            "echo hello $RANK of $WORLD_SIZE at $MASTER_ADDR on $(uname -n) over $NCCL_SOCKET_IFNAME;"
            " mkdir -p outputs; echo of $RANK > outputs/of-$RANK; echo $RANK > outputs/one"])
        results = self.wait_nodes(started)
        self.assert_codes(results, 0)
        for rank in range(6):
            self.assertEqual(self.stored(rank),
                             f"hello {rank} of 6 at 10.77.0.10 on node-{'abc'[rank // 2]} over =eth0\n")
            self.assertEqual((self.run_directory() / f"outputs/of-{rank}").read_text(), f"of {rank}\n")
        # One name at several nodes: the lowest rank's has it.
        names = sorted(path.name for path in (self.run_directory() / "outputs").glob("one*"))
        self.assertEqual(len(names), 3, names)
        run = json.loads((self.run_directory() / "run.json").read_text(encoding="utf-8"))
        self.assertEqual((run["exit_code"], run["plan"]["node_count"]), (0, 3))
        self.verify()
        self.assert_nodes_clean()

    def test_a_directory_that_the_nodes_share_is_stored_once(self):
        self.make_world(2)
        results = self.run_nodes(["-n", "1", "--backend", "direct", "--", "sh", "-c",
                                  "mkdir -p outputs; echo of $RANK > outputs/of-$RANK; sleep 0.3"])
        self.assert_codes(results, 0)
        names = sorted(path.name for path in (self.run_directory() / "outputs").iterdir())
        self.assertEqual(names, ["of-0", "of-1"])
        self.assertEqual([path.name for path in self.work_dir.iterdir()], ["outputs"])
        self.verify()

    @muster_test.needs_mpirun
    def test_mpi_on_three_nodes(self):
        if subprocess.run([PYTHON, "-c", "import mpi4py"], capture_output=True).returncode:
            self.skipTest(f"{PYTHON} has no mpi4py")
        self.make_world(3)
        folders = self.in_folders_of_their_own(3)
        results = self.wait_nodes(self.start_in(folders, [
            "-n", "2", "--backend", "mpi", "--", PYTHON, "-c", SUM]))
        self.assert_codes(results, 0)
        for rank in range(6):
            self.assertEqual(self.stored(rank),
                             f"rank {rank} of 6 on node-{'abc'[rank // 2]}: 441\n")
            self.assertEqual((self.run_directory() / f"outputs/sum-{rank}").read_text(), "441 of 6\n")
        self.verify()
        self.assert_nodes_clean()

    def test_decoys(self):
        self.among_decoys(Decoys(docker=True, dead=True))

    def test_ipv6_only(self):
        self.among_decoys(Decoys(ipv6_only=True))

    def among_decoys(self, decoys):
        self.make_world(3, decoys=decoys, interfaces=("eth0", "ens5", "net1"))
        for backend in ("direct", "mpi") if MPIRUN else ("direct",):
            with self.subTest(backend):
                results = self.run_nodes(["-n", "1", "--backend", backend, "--", "sh", "-c",
                                          "echo $MASTER_ADDR $NCCL_SOCKET_IFNAME"])
                self.assert_codes(results, 0)
                for rank, name in enumerate(("eth0", "ens5", "net1")):
                    self.assertEqual(self.stored(rank), f"{self.world[0].address} ={name}\n")
                for directory in self.run_directories():
                    subprocess.run(["rm", "-rf", directory], check=True)

    def test_a_stop_of_all_launchers_is_one_stop(self):
        self.make_world(3)
        launchers = self.start_nodes([
            "-n", "1", "--backend", "direct", "--", "sh", "-c",
            "trap 'sleep 0.5; echo saved; exit 0' TERM; touch up-$RANK; while :; do sleep 0.1; done"])
        wait_until(lambda: len(list(self.work_dir.glob("up-*"))) == 3, 40, "three ranks")
        for launcher in launchers:
            launcher.process.send_signal(signal.SIGTERM)
        self.assert_codes(self.wait_nodes(launchers), 143)
        for rank in range(3):
            self.assertEqual(self.stored(rank), "saved\n")

    def test_a_second_stop_at_one_launcher_skips_the_grace(self):
        self.make_world(2)
        launchers = self.start_nodes([
            "-n", "1", "--backend", "direct", "--", "sh", "-c",
            "trap 'echo again; sleep 60' TERM; touch up-$RANK; while :; do sleep 0.1; done"])
        wait_until(lambda: len(list(self.work_dir.glob("up-*"))) == 2, 40, "two ranks")
        for _ in range(2):
            launchers[1].process.send_signal(signal.SIGTERM)
            wait_until(lambda: self.stored(0) == "again\n", 20, "the first stop")
        self.assert_codes(self.wait_nodes(launchers, 25), 143)

    def test_a_signal_to_the_ranks_reaches_all_once(self):
        """Whichever launcher gets it; and of a scheduler that tells all of them, once."""
        self.make_world(3)
        launchers = self.start_nodes([
            "-n", "1", "--backend", "direct", "--", "sh", "-c",
            "trap 'echo notice' USR1; touch up-$RANK; while :; do sleep 0.05; done"])
        wait_until(lambda: len(list(self.work_dir.glob("up-*"))) == 3, 40, "three ranks")
        launchers[2].process.send_signal(signal.SIGUSR1)
        for rank in range(3):
            wait_until(lambda: self.stored(rank) == "notice\n", 20, f"the notice at rank {rank}")
        time.sleep(2.2)  # what comes later is another one
        for launcher in launchers:
            launcher.process.send_signal(signal.SIGUSR1)
        for rank in range(3):
            wait_until(lambda: self.stored(rank) == 2 * "notice\n", 20, f"the second, at {rank}")
        launchers[0].process.send_signal(signal.SIGTERM)
        self.assert_codes(self.wait_nodes(launchers), 143)
        for rank in range(3):
            self.assertEqual(self.stored(rank), 2 * "notice\n")

    def test_one_status_for_the_whole_run(self):
        self.make_world(3)
        launchers = self.start_nodes([
            "-n", "1", "--backend", "direct", "--", "sh", "-c",
            "echo at work; touch up-$RANK; [ $RANK != 2 ] || while :; do :; done; sleep 100"])
        wait_until(lambda: len(list(self.work_dir.glob("up-*"))) == 3, 40, "three ranks")

        def status(*more):
            done = subprocess.run(
                [*self.world[0].inside, muster_test.MUSTER, "status", *more, self.run_directory()],
                env=self.world[0].environment, stdout=subprocess.PIPE, text=True, check=True)
            return done.stdout

        wait_until(lambda: json.loads(status("--json"))["running"] == 3, 20, "all of them running")
        seen = json.loads(status("--json"))
        self.assertEqual([(node["hostname"], node["state"], node["answers"], node["rank_count"])
                          for node in seen["cluster"]],
                         [(f"node-{name}", "here", True, 1) for name in "abc"])
        self.assertEqual([rank["node_rank"] for rank in seen["ranks"]], [0, 1, 2])
        for rank in seen["ranks"]:
            # A shell and its sleep; the third one is busy alone.
            self.assertEqual(rank["process_count"], 1 if rank["rank"] == 2 else 2, rank)
            self.assertGreater(rank["memory_bytes"], 100_000)
        self.assertGreater(seen["ranks"][2]["cpu_percent"], 20)
        self.assertLess(seen["ranks"][1]["cpu_percent"], 20)

        self.world[1].freeze()
        wait_until(lambda: "2 of 3 are here" in status(), 30, "a silent node")
        text = status()
        self.assertIn("! node       node-b (node rank 1)", text)
        self.assertRegex(text, r"silent for \d.*\(rank 1; told ")
        self.world[1].thaw()
        wait_until(lambda: "3 of 3 are here" in status(), 30, "it is back")

        launchers[0].process.send_signal(signal.SIGINT)
        self.assert_codes(self.wait_nodes(launchers), 130)
        phases = [line for line in self.events() if line["event"] == "phase"]
        self.assertEqual([line["phase"] for line in phases],
                         ["running", "stopping", "finalizing", "cancelled"])
        self.assertEqual(phases[1]["why"], "SIGINT")
        log = (self.run_directory() / "launcher/node-c.log").read_text(encoding="utf-8")
        self.assertIn("run stopping: SIGINT", log)
        self.assertIn("run finalizing", log)

    def test_a_failure_anywhere_ends_all_with_its_code(self):
        self.make_world(3)
        for backend in ("direct", "mpi"):
            with self.subTest(backend):
                if backend == "mpi" and not MPIRUN:
                    self.skipTest("no mpirun")
                results = self.run_nodes(["-n", "2", "--backend", backend, "--", "sh", "-c",
                                          "test $RANK = 3 && exit 7; sleep 60"])
                self.assert_codes(results, 7)
                self.assertIn("rank 3 on node-b failed first", results[0].stderr)
                self.assertIn("rank 3 on node-b failed first", results[2].stderr)
                self.assert_nodes_clean()
                for directory in self.run_directories():
                    subprocess.run(["rm", "-rf", directory], check=True)

    def await_running(self, launchers, ranks):
        def running():
            found = [path for path in self.runs_dir.glob("*/ranks/*/attempt-0/stdout.log")
                     if path.stat().st_size]
            return len(found) == ranks
        wait_until(running, 40, "all ranks")

    LOOP = ["sh", "-c", "echo up; while :; do sleep 0.1; done"]

    def test_a_node_that_is_killed_is_named(self):
        self.make_world(3)
        for backend in ("direct", "mpi"):
            with self.subTest(backend):
                if backend == "mpi" and not MPIRUN:
                    self.skipTest("no mpirun")
                launchers = self.start_nodes(["-n", "1", "--backend", backend, "--", *self.LOOP])
                self.await_running(launchers, 3)
                began = time.monotonic()
                self.world[1].kill()
                results = self.wait_nodes([launchers[0], launchers[2]])
                print(f"{backend}: {time.monotonic() - began:.2f} s until all had ended")
                self.assert_codes(results, 71)
                self.assertIn("node-b (node rank 1) was lost", results[0].stderr)
                for directory in self.run_directories():
                    subprocess.run(["rm", "-rf", directory], check=True)

    def test_a_frozen_node_goes_on_and_a_stopped_head_buries_nobody(self):
        self.make_world(3)
        launchers = self.start_nodes(["-n", "1", "--backend", "direct", "--", "sh", "-c",
                                      "echo up; sleep 8; echo end"])
        self.await_running(launchers, 3)
        self.world[1].freeze()
        time.sleep(4.5)
        self.world[1].thaw()
        self.world[0].freeze()
        time.sleep(4)
        self.world[0].thaw()
        results = self.wait_nodes(launchers)
        self.assert_codes(results, 0)
        self.assertIn("node-b (node rank 1) has been silent", results[0].stderr)
        events = (self.run_directory() / "events.jsonl").read_text()
        self.assertEqual(events.count('"node_suspect"'), 1)

    def test_a_stop_at_any_node_stops_all(self):
        self.make_world(3)
        for victim in (0, 2):
            with self.subTest(node=victim):
                launchers = self.start_nodes(["-n", "1", "--backend", "direct", "--", *self.LOOP])
                self.await_running(launchers, 3)
                launchers[victim].send(signal.SIGTERM)
                self.assert_codes(self.wait_nodes(launchers), 143)
                self.assert_nodes_clean()
                for directory in self.run_directories():
                    subprocess.run(["rm", "-rf", directory], check=True)

    def test_a_head_that_is_killed_leaves_nothing_running(self):
        self.make_world(3)
        launchers = self.start_nodes(["-n", "2", "--backend", "direct", "--", *self.LOOP])
        self.await_running(launchers, 6)
        launchers[0].send(signal.SIGKILL)
        for result in self.wait_nodes(launchers[1:]):
            self.assert_code(result, 70)
            self.assertIn("the head is gone", result.stderr)
        wait_until(lambda: self.processes() == [], 20, "the end of everything")


class Meeting(NodesTest):
    def setUp(self):
        super().setUp()
        self.make_world(2)
        self.head_address = self.world[0].address
        self.args = ["-n", "1", "--backend", "direct", "--", "true"]

    def test_a_missing_node_is_named(self):
        head = self.start_node(self.world[0], ["--join-timeout", "7s", *self.args], 3)
        other = self.start_node(self.world[1], ["--join-timeout", "7s", *self.args], 3)
        results = self.wait_nodes([head, other])
        self.assert_codes(results, 75)
        self.assertIn("waits for node rank 2 (2 of 3 nodes have joined)", results[0].stderr)
        self.assertIn("node rank 2 has not joined within 7.0 s", results[0].stderr)
        self.assertIn("node rank 2", results[1].stderr)

    def test_a_late_starter_and_a_wrong_token(self):
        head = self.start_node(self.world[0], self.args, 2)
        wrong = self.directory / "wrong"
        wrong.write_text("another token, as long as the other: 0123456789\n", encoding="utf-8")
        wrong.chmod(0o600)
        stranger = self.start_node(self.world[1], self.args, 2, token=wrong).wait(30)
        self.assert_code(stranger, 77)
        self.assertIn("token", stranger.stderr)
        late = self.start_node(self.world[1], self.args, 2)
        results = self.wait_nodes([head, late])
        self.assert_codes(results, 0)
        self.assertIn("refused", results[0].stderr)

    def test_a_second_launcher_of_a_node_is_refused(self):
        head = self.start_node(self.world[0], ["-n", "1", "--backend", "direct", "--", "sleep", "3"], 2)
        args = ["-n", "1", "--backend", "direct", "--", "sleep", "3"]
        first = self.start_node(self.world[1], args, 2)
        time.sleep(1.5)
        second = self.start_node(self.world[1], args, 2).wait(30)
        self.assert_code(second, 64)
        self.assertIn("is another launcher already", second.stderr)
        self.assert_codes(self.wait_nodes([head, first]), 0)

    def test_an_address_file_and_any_port(self):
        address = f"file:{self.directory}/address"
        other = self.start_node(self.world[1], self.args, 2, head=address)
        time.sleep(0.5)
        head = self.start_node(self.world[0], self.args, 2, head=address)
        self.assert_codes(self.wait_nodes([head, other]), 0)

    def test_without_a_token_it_says_how_to_make_one(self):
        result = self.run_muster(["run", "--nodes", "2", "--node-rank", "0", "--rendezvous", "a:1",
                                  "--", "true"])
        self.assert_code(result, 64)
        self.assertIn("muster token", result.stderr)


if __name__ == "__main__":
    muster_test.main()
