"""Submitting, waiting, files, metrics and ends, through the built muster.

But for those of Handles, the run configurations are Muster's own form, so that this tests the
package and not the readers of Azure ML's forms.
"""

import contextlib
import io
import json
import os
import signal
import socket
import sys
import threading
import time
import unittest
import urllib.request
from unittest import mock

import muster_test
from muster_azureml._submission import Submission
from muster_azureml.core import Dataset, Experiment, Run, ScriptRunConfig, Workspace
from muster_azureml.core.runconfig import PyTorchConfiguration
from muster_azureml.data import OutputFileDatasetConfig
from muster_azureml.exceptions import ActivityFailedException, UserErrorException
from muster_azureml.widgets import RunDetails

TRAIN = """
import os, sys
from muster_azureml.core import Run

run = Run.get_context()
for loss in (3.0, 2.0, 1.0):
    run.log("loss", loss)
print("experiment", run.experiment.name, "rank", os.environ["RANK"], flush=True)
print("a word on stderr", file=sys.stderr, flush=True)
if os.environ["RANK"] == "0":
    run.tag("state", "trained")
    os.makedirs("outputs/sub", exist_ok=True)
    with open("outputs/sub/model.txt", "w") as file:
        file.write(" ".join(sys.argv[1:]))
sys.exit(int(sys.argv[-1]))
"""


class Config:
    """Stands for an estimator: anything with a submission."""

    def __init__(self, source_directory, document, **more):
        self.source_directory = source_directory
        self.document = document
        self.more = more

    def submission(self, run_id):
        return Submission({"environment": {}, **self.document}, str(self.source_directory),
                          **self.more)


class RunTest(muster_test.MusterTest):
    def setUp(self):
        super().setUp()
        variables = self.environment({"MUSTER_EXECUTABLE": muster_test.MUSTER,
                                      "PYTHONPATH": os.environ.get("PYTHONPATH")})
        patch = mock.patch.dict(os.environ, variables, clear=True)
        patch.start()
        self.addCleanup(patch.stop)
        before = os.getcwd()
        os.chdir(self.work_dir)
        self.addCleanup(os.chdir, before)
        self.source = self.work_dir / "project"
        self.source.mkdir()
        (self.source / "train.py").write_text(TRAIN)
        self.workspace = Workspace.from_config()
        self.experiment = Experiment(self.workspace, "digits")

    def submit(self, document, **more):
        """The run, and what was said on stderr meanwhile."""
        tags = more.pop("tags", None)
        with contextlib.redirect_stderr(io.StringIO()) as said:
            run = self.experiment.submit(Config(self.source, document, **more), tags=tags)
        return run, said.getvalue()

    def train(self, exit_code=0, count=2, **more):
        return self.submit({"entry_script": "train.py", "script_params": {"--lr": "1.0"},
                            "arguments": [str(exit_code)], "process_count_per_node": count,
                            "distributed_backend": "direct" if count > 1 else "none",
                            "environment": {"python": {"interpreter": sys.executable}}}, **more)

    def wait(self, run, **how):
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            try:
                return run.wait_for_completion(**how), shown.getvalue()
            finally:
                self.shown = shown.getvalue()


class Successes(RunTest):
    def test_from_submit_to_the_downloaded_model(self):
        run, said = self.train(tags={"who": "me"})
        self.assertRegex(run.id, r"^digits_\d+_[0-9a-f]{8}$")
        self.assertRegex(said, r"^muster: 2 ranks on .*\n$")
        details, shown = self.wait(run, show_output=True)
        self.assertIn("experiment digits rank 0\n", shown)
        self.assertIn("a word on stderr\n", shown)
        self.assertNotIn("rank 1\n", shown)
        self.assertIn("Streaming user_logs/std_log", shown)
        self.assertIn(f"run {run.id} succeeded", shown)
        self.assertEqual(details["status"], "Completed")
        self.assertEqual(run.get_details()["status"], "Completed")
        self.assertIn("outputs/sub/model.txt", run.get_file_names())
        run.download_file("outputs/sub/model.txt", output_file_path="model.txt")
        self.assertEqual((self.work_dir / "model.txt").read_text(), "--lr 1.0 0")
        metrics = run.get_metrics()
        self.assertEqual(sorted(metrics["loss"]), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0])
        self.assertEqual(run.get_tags(), {"who": "me", "state": "trained"})
        self.assert_nothing_left()

    def test_details_have_the_services_keys(self):
        run, _ = self.train(count=1)
        details, _ = self.wait(run)
        self.assertEqual(run.get_metrics("loss"), {"loss": [3.0, 2.0, 1.0]})
        self.assertEqual(details["runId"], run.id)
        self.assertLessEqual(details["createdTimeUtc"], details["startTimeUtc"])
        self.assertLess(details["startTimeUtc"], details["endTimeUtc"])
        self.assertGreater(details["duration"], 0)
        self.assertIsNone(details["error"])
        self.assertEqual(details["computeRequest"], {"nodeCount": 1})
        (log,) = [name for name in details["logFiles"] if name.startswith("user_logs/")]
        with urllib.request.urlopen(details["logFiles"][log]) as file:
            self.assertIn(b"experiment digits rank 0", file.read())
        self.assertIn("experiment digits", run.get_details_with_logs()["logFiles"][log])
        json.dumps(details)
        run.add_properties({"a": 1})
        with self.assertRaisesRegex(UserErrorException, "is set already"):
            run.add_properties({"a": 2})
        run.tag("b", 2)
        self.assertEqual(run.get_properties()["a"], "1")
        self.assertEqual(run.tags["b"], "2")
        threads = [threading.Thread(target=run.tag, args=(f"t{each}", each)) for each in range(16)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.assertEqual(len([name for name in run.tags if name.startswith("t")]), 16)

    def test_files(self):
        run, _ = self.train(count=1)
        self.wait(run)
        run.download_files("outputs", "all")
        self.assertTrue((self.work_dir / "all/outputs/sub/model.txt").is_file())
        run.download_files("outputs/", "bare", append_prefix=False)
        self.assertTrue((self.work_dir / "bare/sub/model.txt").is_file())
        run.download_file("outputs/sub/model.txt", "all/")
        self.assertTrue((self.work_dir / "all/model.txt").is_file())
        with self.assertRaisesRegex(UserErrorException, "has no file outputs/none; it has: outputs/"):
            run.download_file("outputs/none")
        with self.assertRaisesRegex(UserErrorException, "has no file"):
            run.download_file("../run.json")
        run.upload_file("outputs/late.txt", "all/model.txt")
        self.assertIn("outputs/late.txt", run.get_file_names())
        with self.assertRaisesRegex(UserErrorException, "already"):
            run.upload_file("outputs/late.txt", "all/model.txt")
        with self.assertRaisesRegex(UserErrorException, "no model registry"):
            run.register_model("m", model_path="outputs/sub/model.txt")

    def test_runs_of_an_experiment(self):
        first, _ = self.train(count=1)
        self.wait(first)
        self.run_muster(["run", "--", "/bin/true"])
        second, _ = self.train(count=1, tags={"t": "x"})
        self.wait(second)
        self.assertEqual([each.id for each in self.experiment.get_runs()], [second.id, first.id])
        self.assertEqual([each.id for each in self.experiment.get_runs(tags={"t": "x"})],
                         [second.id])
        self.assertEqual(list(Experiment(self.workspace, "other").get_runs()), [])
        self.assertEqual(list(self.workspace.experiments), ["digits"])
        again = self.workspace.get_run(first.id)
        self.assertEqual(again.experiment.name, "digits")
        self.assertEqual(again.get_status(), "Completed")
        with self.assertRaisesRegex(UserErrorException, "there is no run none"):
            self.workspace.get_run("none")
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            RunDetails(again).show()
        self.assertIn("Status: Completed", shown.getvalue())


class Failures(RunTest):
    def test_a_failed_run_is_raised_with_its_report(self):
        run, _ = self.train(exit_code=3, count=1)
        with self.assertRaises(ActivityFailedException) as caught:
            self.wait(run, show_output=True)
        self.assertIn(": Failed\n", str(caught.exception))
        self.assertIn("exited with 3", caught.exception.error_details)
        self.assertIn("experiment digits rank 0", self.shown)
        details, _ = self.wait(run, raise_on_error=False)
        self.assertEqual(details["status"], "Failed")
        self.assertEqual(details["error"]["error"]["code"], "UserError")
        self.assertIn("exited with 3", details["error"]["error"]["message"])

    def test_what_muster_refuses_is_raised_by_submit(self):
        with self.assertRaises(UserErrorException) as caught, \
                contextlib.redirect_stderr(io.StringIO()) as said:
            self.experiment.submit(Config(self.source, {"entry_script": "none.py"}))
        self.assertEqual(said.getvalue(), "", "told twice")
        self.assertIn("exit code 65", str(caught.exception))
        self.assertIn("none.py", str(caught.exception))
        self.assertEqual(self.run_directories(), [])

    def test_an_interrupted_submit_ends_the_run_and_leaves_its_record(self):
        # A package index that accepts and says nothing: packages are made until someone ends it.
        with socket.create_server(("127.0.0.1", 0)) as index:
            port = index.getsockname()[1]
            interrupter = threading.Thread(target=self.interrupt_when_recorded)
            interrupter.start()
            with self.assertRaises(KeyboardInterrupt), \
                    mock.patch.dict(os.environ, MUSTER_CACHE_DIR=str(self.directory / "cache")), \
                    contextlib.redirect_stderr(io.StringIO()) as said:
                self.experiment.submit(Config(self.source, {
                    "entry_script": "train.py", "environment": {"python": {
                        "interpreter": sys.executable, "pip_packages": ["none"], "pip_options": [
                            "--index-url", f"http://me:secret@127.0.0.1:{port}/simple"]}}}))
            interrupter.join()
        (run,) = self.experiment.get_runs()
        self.assertIn(f"interrupted: run {run.id} is ended", said.getvalue())
        self.assertIn(self.wait(run, raise_on_error=False)[0]["status"], ("Canceled", "Failed"))
        definition = json.dumps(run.get_details()["runDefinition"])
        self.assertIn(f"http://****@127.0.0.1:{port}/simple", definition)
        self.assertEqual((run.directory / "azureml.json").stat().st_mode & 0o777, 0o600)
        self.assert_nothing_left()

    def interrupt_when_recorded(self):
        """SIGINT to this process alone."""
        muster_test.wait_until(lambda: list(self.workspace.runs_dir.glob("*/azureml.json")), 60)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    def test_an_interrupt_while_ranks_start_ends_them(self):
        def late(run, record):
            muster_test.wait_until(lambda: (run.directory / "run.json").exists()
                                   and run.get_status() == "Running", 30)
            raise KeyboardInterrupt

        with mock.patch.object(Run, "write_record", late), self.assertRaises(KeyboardInterrupt):
            self.submit({"command": "exec sleep 60"})
        (directory,) = self.run_directories()
        run = self.workspace.get_run(directory.name)
        self.assertEqual(self.wait(run, raise_on_error=False)[0]["status"], "Canceled")
        self.assert_nothing_left()

    def test_a_wrong_program_is_named(self):
        with mock.patch.dict(os.environ, {"MUSTER_EXECUTABLE": "/nowhere/muster"}), \
                self.assertRaisesRegex(UserErrorException, "MUSTER_EXECUTABLE is /nowhere/muster"):
            self.submit({"command": "true"})

    def test_a_missing_program_is_named(self):
        with mock.patch.dict(os.environ, {"MUSTER_EXECUTABLE": "", "PATH": "/nowhere"}), \
                mock.patch("muster_azureml._muster.__file__", "/nowhere/a/b/c.py"), \
                self.assertRaisesRegex(UserErrorException, "cannot find the program muster"):
            self.submit({"command": "true"})

    def test_cancel(self):
        run, _ = self.submit({"command": "echo begun; exec sleep 60"})
        self.assertEqual(run.get_status(), "Running")
        self.assertNotIn("endTimeUtc", run.get_details())
        run.cancel()
        details, _ = self.wait(run, raise_on_error=False)
        self.assertEqual(details["status"], "Canceled")
        with self.assertRaisesRegex(ActivityFailedException, "Canceled"):
            self.wait(run)
        self.assert_nothing_left()

    def test_a_killed_launcher_is_not_waited_for(self):
        run, _ = self.submit({"command": "exec sleep 60"})
        launcher = json.loads((run.directory / "run.json").read_text())["launcher_pid"]
        os.kill(launcher, 9)
        details, _ = self.wait(run, show_output=True, raise_on_error=False)
        self.assertEqual(details["status"], "NotResponding")
        self.assertRegex(details["error"]["error"]["message"],
                         f"launcher of run {run.id} is gone .*{run.directory}/ranks")
        self.assert_nothing_left()


class Live(RunTest):
    def test_output_is_shown_while_the_run_goes_on(self):
        run, _ = self.submit({"command": f"echo first; while [ ! -e {self.directory}/go ]; do "
                                         "sleep 0.05; done; echo last"})
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            waiter = threading.Thread(target=run.wait_for_completion, args=(True,))
            waiter.start()
            try:
                muster_test.wait_until(lambda: "first\n" in shown.getvalue(), 30)
                self.assertNotIn("last", shown.getvalue())
                self.assertEqual(run.get_status(), "Running")
            finally:
                (self.directory / "go").touch()
                waiter.join(60)
        self.assertIn("last\n", shown.getvalue())
        self.assertEqual(run.get_status(), "Completed")


class Handles(RunTest):
    """Through the reader of v1 run configurations, as scripts go."""

    def submit_quietly(self, config):
        with contextlib.redirect_stderr(io.StringIO()) as said:
            run = self.experiment.submit(config)
        self.wait(run)
        return run, said.getvalue()

    def setUp(self):
        super().setUp()
        (self.work_dir / "datastores.yaml").write_text(
            "datastores:\n  blob: {type: local, path: store}\n")
        (self.work_dir / "store/digits").mkdir(parents=True)
        (self.work_dir / "store/digits/a.txt").write_text("seven")
        (self.source / "copy.py").write_text(
            "import shutil, sys\nshutil.copy(sys.argv[1] + '/a.txt', sys.argv[2])\n")
        self.store = self.workspace.get_default_datastore()

    def test_a_downloaded_dataset_and_an_uploaded_output(self):
        data = Dataset.File.from_files((self.store, "digits")).as_named_input("digits")
        output = OutputFileDatasetConfig("model", (self.store, "models/{run-id}"))
        run, _ = self.submit_quietly(ScriptRunConfig(
            str(self.source), "copy.py", [data.as_download(), output.as_upload()]))
        self.assertEqual((self.work_dir / f"store/models/{run.id}/a.txt").read_text(), "seven")
        self.assertIn("outputs/model/a.txt", run.get_file_names())
        self.assertEqual(run.get_details()["inputDatasets"], ["digits"])
        self.assertEqual(run.get_details()["outputDatasets"], ["model"])

    def test_handles_in_a_command_and_an_output_that_stays(self):
        run, _ = self.submit_quietly(ScriptRunConfig(str(self.source), command=[
            sys.executable, "copy.py", self.store.path("digits").as_mount(),
            OutputFileDatasetConfig("model")]))
        self.assertIn("outputs/model/a.txt", run.get_file_names())

    def test_a_reference_that_is_uploaded_is_an_output(self):
        run, _ = self.submit_quietly(ScriptRunConfig(str(self.source), "copy.py", [
            self.store.path("digits").as_mount(),
            self.store.path("kept", data_reference_name="kept").as_upload()]))
        self.assertEqual((self.work_dir / "store/kept/a.txt").read_text(), "seven")
        self.assertEqual(run.get_details()["inputDatasets"], ["blob_digits"])
        self.assertEqual(run.get_details()["outputDatasets"], ["kept"])

    def test_several_nodes_run_on_this_one_and_that_is_told(self):
        run, said = self.submit_quietly(ScriptRunConfig(
            str(self.source), command="echo rank $RANK of $WORLD_SIZE",
            distributed_job_config=PyTorchConfiguration("Gloo", process_count=2, node_count=2)))
        self.assertIn("node_count is 2: this machine is one node", said)
        self.assertTrue((run.directory / "ranks/00001").is_dir())
        self.assertFalse((run.directory / "ranks/00002").exists())

    def test_an_input_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(UserErrorException, "input blob_missing: .*store/missing does not"):
            self.submit_quietly(ScriptRunConfig(str(self.source), "copy.py",
                                                [self.store.path("missing"), "/x"]))


class Workspaces(RunTest):
    def test_defaults_give_way_to_musters_own_variable(self):
        (self.work_dir / ".azureml").mkdir()
        (self.work_dir / ".azureml/config.json").write_text(json.dumps(
            {"workspace_name": "team", "subscription_id": "s",
             "muster": {"limits.drain_timeout": "7s", "limits.join_timeout": "8s"}}))
        below = self.work_dir / "project"
        workspace = Workspace.from_config(str(below))
        self.assertEqual((workspace.name, workspace.root), ("team", self.work_dir))
        self.experiment = Experiment(workspace, "digits")
        with mock.patch.dict(os.environ, MUSTER_SET="limits.join_timeout=9s"):
            run, _ = self.submit({"command": "true"})
        self.wait(run)
        plan = json.loads((run.directory / "plan.json").read_text())
        self.assertEqual(plan["limits"]["drain_timeout_ms"], 7000)
        self.assertEqual(plan["limits"]["join_timeout_ms"], 9000)

    def test_is_written_and_found_again(self):
        Workspace("sub", "group", "mine", self.work_dir, {"limits.drain_timeout": "7s"}).write_config()
        found = Workspace.get("mine", "sub", "group")
        self.assertEqual((found.name, found.subscription_id, found.defaults),
                         ("mine", "sub", {"limits.drain_timeout": "7s"}))
        (self.work_dir / ".azureml/config.json").write_text("{")
        with self.assertRaisesRegex(UserErrorException, "cannot read .*config.json"):
            Workspace.from_config()
        (self.work_dir / ".azureml/config.json").write_text("[1]")
        with self.assertRaisesRegex(UserErrorException, "config.json: it is no JSON object"):
            Workspace.from_config()
        with self.assertRaisesRegex(UserErrorException, "there is no .*none.json"):
            Workspace.from_config("none.json")

    def test_any_compute_target_is_there(self):
        self.assertIn("gpu", self.workspace.compute_targets)
        self.assertEqual(self.workspace.compute_targets.get("cpu").name, "cpu")
        self.assertEqual(self.workspace.compute_targets["gpu"].name, "gpu")
        with self.assertRaisesRegex(UserErrorException, "cannot name an experiment"):
            Experiment(self.workspace, "a b")


class Context(RunTest):
    def test_every_image_is_kept(self):
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            run = Run.get_context()
            for text in ("one", "two"):
                (self.work_dir / "a.png").write_text(text)
                run.log_image("curve", "a.png")
        self.assertEqual((self.work_dir / "outputs/curve.png").read_text(), "one")
        self.assertEqual((self.work_dir / "outputs/curve_2.png").read_text(), "two")
        self.assertIn("outputs/curve_2.png", shown.getvalue())

    def test_outside_of_a_rank_it_is_offline(self):
        self.assertTrue(Run.get_context().id.startswith("OfflineRun_"))


if __name__ == "__main__":
    muster_test.main()
