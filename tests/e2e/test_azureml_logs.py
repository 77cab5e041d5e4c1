"""The names under which tools of Azure ML look for logs lead to what the ranks wrote, while a run
goes on and after it."""

import json
import os
import re

import muster_test
from muster_test import MPIRUN, MusterTest, wait_until


class AzuremlLogsTest(MusterTest):
    def test_both_generations_names_lead_to_the_output(self):
        result = self.run_muster(["run", "-n", "2", "--backend", "direct", "--", "sh", "-c",
                                  "echo out $RANK; echo err $RANK >&2"])
        self.assert_code(result, 0)
        for rank in range(2):
            for name in (f"user_logs/std_log_process_{rank}.txt",
                         f"azureml-logs/70_driver_log_{rank}.txt"):
                path = result.run_directory / name
                self.assertEqual(path.read_text(encoding="utf-8"), f"out {rank}\n")
                self.assertFalse(os.path.isabs(os.readlink(path)))
        self.assertFalse((result.run_directory / "azureml-logs/70_mpi_log.txt").is_symlink())

    def test_one_process_has_the_single_names(self):
        result = self.run_muster(["run", "--", "echo", "out"])
        for name in ("user_logs/std_log.txt", "azureml-logs/70_driver_log.txt"):
            self.assertEqual((result.run_directory / name).read_bytes(), b"out\n")

    def test_every_launchers_log_is_there(self):
        result = self.run_muster(["run", "--", "true"])
        node = result.run_json["hostname"]
        for name in ("55_azureml-execution", "65_job_prep", "75_job_post"):
            text = (result.run_directory / f"azureml-logs/{name}-{node}.txt").read_text(
                encoding="utf-8")
            self.assertIn("rank 0 exited with 0", text)

    @muster_test.unittest.skipUnless(MPIRUN, "no Open MPI")
    def test_what_mpirun_says_is_in_the_mpi_log(self):
        result = self.run_muster(["run", "-n", "2", "--backend", "mpi", "--", "true"])
        self.assert_code(result, 0)
        log = result.run_directory / "azureml-logs/70_mpi_log.txt"
        self.assertEqual(log.read_bytes(), (result.run_directory / "mpirun.log").read_bytes())

    def test_processes_and_their_status_are_told_live_and_afterwards(self):
        running = self.start_muster(["run", "-n", "2", "--backend", "direct", "--", "sh", "-c",
                                     "echo here; while [ ! -e go ]; do sleep 0.02; done; exit $RANK"])
        wait_until(lambda: running.run_directory is not None, 30, "the run directory")
        logs = running.run_directory / "azureml-logs"

        def read(name):
            try:
                return json.loads((logs / name).read_bytes())
            except FileNotFoundError:
                return {}

        wait_until(lambda: read("process_status.json").get("status") == "Running", 30, "Running")
        info = read("process_info.json")["processes"]
        self.assertEqual([each["rank"] for each in info], [0, 1])
        for each in info:
            self.assertEqual(os.readlink(f"/proc/{each['pid']}/cwd"), str(self.work_dir.resolve()))
            wait_until(lambda name=each["log"]: b"here\n" in (
                running.run_directory / name).read_bytes(), 30, "output under Azure ML's name")
        (self.work_dir / "go").touch()
        result = running.wait()
        self.assert_code(result, 1)
        status = read("process_status.json")
        self.assertEqual((status["status"], status["exit_code"]), ("Failed", 1))
        self.assertEqual(status["processes"]["rank_1"], {"status": "Failed", "exit_code": 1})
        # It saw the file, or was ended because of rank 1.
        self.assertIn(status["processes"]["rank_0"]["status"], ("Completed", "Canceled"))

    def test_the_rule_by_which_clients_choose_what_to_stream_finds_one_file(self):
        result = self.run_muster(["run", "-n", "11", "--backend", "direct", "--", "echo", "x"])
        names = [f"user_logs/{path.name}" for path in (result.run_directory / "user_logs").iterdir()]
        primary = [name for name in names if re.fullmatch(r"user_logs/std_log\D*0*\.txt", name)]
        self.assertEqual(primary, ["user_logs/std_log_process_00.txt"])


if __name__ == "__main__":
    muster_test.main()
