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
        (self.work_dir / "job.yml").write_text(
            "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\n"
            "command: echo here; while [ ! -e go ]; do sleep 0.02; done; exit $RANK\n"
            "environment: azureml:any:1\n"
            "distribution: {type: pytorch, process_count_per_instance: 2}\n")
        running = self.start_muster(["run", "job.yml"])
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


class DriverSentences(MusterTest):
    """Runs from Azure ML's own configs have what its tools wait for, in the logs with its names."""

    V1 = """script: train.py
arguments: [--rank, $LOCAL_RANK, --rate, '1.0', --text, "it's"]
framework: Python
communicator: None
environment:
  python: {userManagedDependencies: true, interpreterPath: python3}
"""
    V2 = """$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
code: src
command: python3 train.py
compute: azureml:cpu-cluster
environment: azureml:any@latest
"""
    SCRIPT = """import os, sys, time
print("out", *sys.argv[1:], flush=True)
print("err", file=sys.stderr, flush=True)
while not os.path.exists(os.environ.get("GO", "/")):
    time.sleep(0.02)
print("no end of line", end="", flush=True)
sys.exit(int(os.environ.get("CODE", "0")))
"""
    OUT = "out --rank 0 --rate 1.0 --text it's\n"

    def prepare(self, name, config):
        (self.work_dir / "src").mkdir()
        (self.work_dir / "src/train.py").write_text(self.SCRIPT, encoding="utf-8")
        folder = "src" if name.endswith(".runconfig") else "."
        (self.work_dir / folder / name).write_text(config, encoding="utf-8")
        return f"{folder}/{name}"

    def run_it(self, config):
        return self.run_muster(["run", config], cwd=self.work_dir)

    def logs(self, result):
        driver = result.run_directory / "azureml-logs/70_driver_log.txt"
        text = driver.read_text(encoding="utf-8")
        self.assertEqual((result.run_directory / "user_logs/std_log.txt").read_text(
            encoding="utf-8"), text)
        self.assertFalse(os.path.isabs(os.readlink(driver)))
        return text

    def test_v1(self):
        result = self.run_it(self.prepare("job.runconfig", self.V1))
        self.assert_code(result, 0)
        text = self.logs(result)
        head = ("Entering context manager injector.\n"
                "Preparing to call script [ train.py ] with arguments: "
                "['--rank', '$LOCAL_RANK', '--rate', '1.0', '--text', \"it's\"]\n"
                "After variable expansion, calling script [ train.py ] with arguments: "
                "['--rank', '0', '--rate', '1.0', '--text', \"it's\"]\n\n")
        tail = "no end of line\n\n\nThe experiment completed successfully. Finalizing run...\n"
        self.assertTrue(text.startswith(head), text)
        self.assertTrue(text.endswith(tail), text)
        self.assertEqual(sorted(text[len(head):-len(tail)].splitlines(True)),
                         ["err\n", self.OUT])
        # The streams are what the rank wrote.
        self.assertEqual(result.rank_bytes(0), (self.OUT + "no end of line").encode())
        self.assertEqual(result.rank_bytes(0, "stderr.log"), b"err\n")

    def test_v1_while_it_runs_and_when_it_fails(self):
        config = self.prepare("job.runconfig", self.V1)
        go = self.work_dir / "go"
        running = self.start_muster(["run", config], cwd=self.work_dir,
                                    env={"GO": go, "CODE": "3"})
        name = "azureml-logs/70_driver_log.txt"

        def text():
            try:
                return (running.run_directory / name).read_text(encoding="utf-8")
            except (FileNotFoundError, TypeError):
                return ""

        def is_there():
            return running.process.poll() is not None or ("err\n" in text() and self.OUT in text())

        wait_until(is_there, 30, "output in the driver log")
        if running.process.poll() is None:
            self.assertIn("After variable expansion, calling script", text())
            self.assertNotIn("no end of line", text())
            go.touch()
        result = running.wait()
        self.assert_code(result, 3)
        self.assertNotIn("completed successfully", self.logs(result))
        self.assertTrue(self.logs(result).endswith("\nmuster: rank 0 exited with 3\n"))

    def test_v2(self):
        result = self.run_it(self.prepare("job.yml", self.V2))
        self.assert_code(result, 0)
        text = self.logs(result)
        self.assertNotIn("Preparing to call script", text)
        self.assertTrue(text.endswith("\n\nThe activity completed successfully. Finalizing run...\n"),
                        text)
        self.assertEqual(result.rank_bytes(0), b"out\nno end of line")


if __name__ == "__main__":
    muster_test.main()
