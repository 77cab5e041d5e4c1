"""Workers and parameter servers: TF_CONFIG, and a run that ends although the servers never do."""

import json
import os
import re
import signal

import muster_test
from muster_test import MusterTest, needs_mpirun, program

PROGRAM = muster_test.SOURCE_DIR / "tests/programs/parameter_server.py"
FROM_MPIRUN = ("OMPI_", "PMIX_", "PRTE_", "HFI_NO_BACKTRACE", "IPATH_NO_BACKTRACE")
ROUNDS = int(os.environ.get("MUSTER_ROUNDS", "2"))


class Roles:
    backend = ""

    def config(self, workers, servers, *words, limits=""):
        path = self.work_dir / "run.yaml"
        path.write_text(
            f"command: exec /usr/bin/python3 -B '{PROGRAM}' {' '.join(words)}\n"
            f"process_count_per_node: {workers + servers}\ndistributed_backend: {self.backend}\n"
            f"tensorflow: {{worker_count: {workers}, parameter_server_count: {servers}}}\n{limits}",
            "utf-8")
        return ["run", "--console", "none", path]

    def ends(self, result):
        return [rank["how"] for rank in result.run_json["attempts"][0]["ranks"]]

    def test_every_rank_is_told_its_place(self):
        for _ in range(ROUNDS):
            result = self.run_muster(self.config(2, 1), timeout=120)
            self.assert_code(result, 0)
            told = [json.loads(result.rank_bytes(rank)) for rank in range(3)]
            self.assertEqual([each["task"] for each in told],
                             [{"type": "worker", "index": 0}, {"type": "worker", "index": 1},
                              {"type": "ps", "index": 0}])
            cluster = told[0]["cluster"]
            self.assertEqual([each["cluster"] for each in told], [cluster] * 3)
            addresses = cluster["worker"] + cluster["ps"]
            plan = json.loads((result.run_directory / "plan.json").read_text("utf-8"))
            ports = {address.rpartition(":")[2] for address in addresses}
            ports.add(plan["environment"]["common"]["MASTER_PORT"])
            self.assertEqual(len(ports), 4)
            self.assertEqual(self.ends(result), ["exited", "exited", "stopped"])
            self.assertIn("rank 2, a parameter server, was ended once every worker had ended",
                          result.stderr)
        self.assert_nothing_left()
        self.assert_runtime_empty()

    def test_what_they_are_told_is_documented(self):
        path = self.work_dir / "run.yaml"
        path.write_text(f"command: exec '{program('rank_probe')}'\nprocess_count_per_node: 2\n"
                        f"distributed_backend: {self.backend}\n"
                        "tensorflow: {worker_count: 2, parameter_server_count: 0}\n", "utf-8")
        result = self.run_muster(["run", "--console", "none", path])
        self.assert_code(result, 0)
        seen = set(json.loads(result.rank_bytes(1))["environment"])
        page = (muster_test.SOURCE_DIR / "docs/rank-environment.md").read_text("utf-8")
        names = set(re.findall(r"`([A-Z][A-Z0-9_a-z]+)`", page))
        others = set(self.environment())
        self.assertEqual(sorted(name for name in seen - names - others
                                if not name.startswith(FROM_MPIRUN)), [])
        section = page.partition("## TensorFlow")[2].partition("\n## ")[0]
        for name in re.findall(r"`([A-Z0-9]+_[A-Z0-9_]+)`",
                               "".join(line for line in section.splitlines() if line[:1] == "|")):
            self.assertIn(name, seen)

    def test_without_parameter_servers_there_is_no_list_of_them(self):
        result = self.run_muster(self.config(2, 0), timeout=120)
        self.assert_code(result, 0)
        self.assertEqual(list(json.loads(result.rank_bytes(0))["cluster"]), ["worker"])
        self.assertEqual(self.ends(result), ["exited", "exited"])

    def test_servers_that_ignore_sigterm_end_with_the_grace(self):
        result = self.run_muster(self.config(1, 2, "--servers-ignore-term",
                                             limits="limits: {stop_grace_period: 300ms}\n"),
                                 timeout=120)
        self.assert_code(result, 0)
        self.assertEqual(self.ends(result), ["exited", "stopped", "stopped"])
        self.assertIn("ranks 1, 2, parameter servers, were ended", result.stderr)
        self.assert_nothing_left()

    def test_a_worker_that_fails_fails_the_run(self):
        result = self.run_muster(self.config(2, 1, "--worker-fails", "1"), timeout=120)
        self.assert_code(result, 3)
        self.assertEqual(result.run_json["first_failure"]["rank"], 1)
        self.assert_nothing_left()

    def test_a_server_that_fails_fails_the_run(self):
        result = self.run_muster(self.config(2, 1, "--server-fails"), timeout=120)
        self.assert_code(result, 4)
        self.assertEqual(result.run_json["first_failure"]["rank"], 2)
        self.assert_nothing_left()

    def test_ctrl_c_ends_workers_and_servers(self):
        running = self.start_muster(self.config(1, 1, "--worker-waits"))
        muster_test.wait_until(
            lambda: len([each for each in running.processes()
                         if each.argv[-1:] == ["--worker-waits"]]) >= 2, 60, "both ranks")
        running.send(signal.SIGINT)
        self.assert_code(running.wait(), 130)
        self.assert_nothing_left()


class DirectRoles(Roles, MusterTest):
    backend = "direct"


@needs_mpirun
class MpirunRoles(Roles, MusterTest):
    backend = "mpi"


if __name__ == "__main__":
    muster_test.main()
