"""Configs of other dialects at the command line: a run of one, its JSON twin, validate of a file
and of a tree, convert."""

import json

import muster_test
from muster_test import MPIRUN, MusterTest

V1 = """\
script: train.py
arguments: [--rate, 1.0, --rank, $RANK]
communicator: IntelMpi
nodeCount: 1
mpi: {processCountPerNode: 2, nodeCount: 1}
pytorch: {processCount: 8}
target: cluster
colour: blue
environment: {python: {userManagedDependencies: true}, environmentVariables: {GREETING: hello}}
"""
TWIN = {
    "script": "train.py", "arguments": ["--rate", "1.0", "--rank", "$RANK"],
    "communicator": "IntelMpi", "nodeCount": 1,
    "mpi": {"processCountPerNode": 2, "nodeCount": 1}, "pytorch": {"processCount": 8},
    "target": "cluster", "colour": "blue",
    "environment": {"python": {"userManagedDependencies": True},
                    "environmentVariables": {"GREETING": "hello"}}}
SCRIPT = "import os, sys\nprint(os.environ['GREETING'], *sys.argv[1:])\n"


class DialectsTest(MusterTest):
    def setUp(self):
        super().setUp()
        self.project = self.work_dir / "project"
        (self.project / ".azureml").mkdir(parents=True)
        (self.project / ".azureml/train.runconfig").write_text(V1, encoding="utf-8")
        (self.project / ".azureml/twin.runconfig").write_text(json.dumps(TWIN), encoding="utf-8")
        (self.project / "train.py").write_text(SCRIPT, encoding="utf-8")

    def muster(self, *args, code=0):
        result = self.run_muster(args)
        self.assert_code(result, code)
        return result

    def settings(self, file, *args):
        shown = json.loads(self.muster("validate", "--json", file, *args).stdout)
        return {each["key"]: each["value"] for each in shown["settings"]}

    @muster_test.unittest.skipUnless(MPIRUN, "no Open MPI")
    def test_a_run_configuration_and_its_json_twin_run(self):
        for name in ("train", "twin"):
            with self.subTest(name):
                result = self.muster("run", f"project/.azureml/{name}.runconfig")
                for rank in range(2):
                    self.assertEqual(result.rank_bytes(rank),
                                     f"hello --rate 1.0 --rank {rank}\n".encode())
                self.assertTrue(any("pytorch.processCount: not used: it is 8" in each
                                    for each in result.run_json["warnings"]), result.run_json)
                self.assertIn("pytorch.processCount: not used: it is 8", result.stderr)
                self.assertNotIn("colour", result.stderr)
                reasons = json.loads((result.run_directory / "plan.json").read_text("utf-8"))["reasons"]
                self.assertTrue({"not known", "not done here", "dialect of the config"} <=
                                {each["subject"] for each in reasons}, reasons)

    def test_validate_says_what_is_not_done_here_and_what_is_not_known(self):
        text = self.muster("validate", "project/.azureml/train.runconfig").stdout
        self.assertTrue(text.startswith("Azure ML v1 run configuration (since late 2020) (it has "
                                        "script, communicator and mpi)\n"), text)
        for part in ("derived: the project that holds .azureml", ":5:28",
                     "warnings\n  project/.azureml/train.runconfig:6:25  pytorch.processCount: ",
                     "not done here\n  project/.azureml/train.runconfig:7:9  target: ",
                     "not used\n  project/.azureml/train.runconfig:8:1  colour: not known\n"):
            self.assertIn(part, text)

    def test_the_dialect_can_be_forced_and_values_replaced(self):
        result = self.run_muster(["validate", "--dialect", "native",
                                  "project/.azureml/train.runconfig"])
        self.assert_code(result, 65)
        self.assertIn("unknown key \"script\"", result.stderr)
        shown = self.settings("project/.azureml/train.runconfig", "-n", "3", "--set",
                              "environment.variables.GREETING=bye")
        self.assertEqual(shown["process_count_per_node"], 3)
        self.assertEqual(shown["environment.variables.GREETING"], "bye")

    def test_what_convert_writes_says_the_same_from_another_directory(self):
        self.muster("convert", "project/.azureml/train.runconfig", "--output", "run.yaml")
        text = (self.work_dir / "run.yaml").read_text(encoding="utf-8")
        self.assertIn("colour: not known", text)
        ours = self.settings("run.yaml")
        theirs = self.settings("project/.azureml/train.runconfig")
        self.assertEqual(ours.pop("source_directory"), "project")
        self.assertEqual(theirs.pop("source_directory"), ".")
        self.assertEqual(ours, theirs)
        again = self.run_muster(["convert", "project/.azureml/train.runconfig", "--output",
                                 "run.yaml"])
        self.assert_code(again, 64)
        self.assertIn("run.yaml exists, and is not replaced", again.stderr)
        printed = self.muster("convert", "project/.azureml/twin.runconfig").stdout
        self.assertTrue(printed.startswith(f"# relative paths count from {self.project}"), printed)

    def test_validate_of_a_tree_has_a_line_for_each_config_and_a_table(self):
        (self.project / "run.yaml").write_text("entry_script: train.py\n", encoding="utf-8")
        (self.project / "package.json").write_text('{"type": "module", "scripts": {}}',
                                                   encoding="utf-8")
        (self.project / ".git").mkdir()
        (self.project / ".git/x.yml").write_text("entry_script: no.py\n", encoding="utf-8")
        text = self.muster("validate", "project").stdout
        self.assertIn("project/run.yaml: 1 node x 1, none\n", text)
        self.assertIn("project/.azureml/train.runconfig: 1 node x 2, mpi, 1 warning, "
                      "1 unknown key\n", text)
        self.assertRegex(text, r"\nall +3 +3 +2 +0\n")
        self.assertIn("1 other file (.yml, .yaml, .json) skipped", text)

        (self.project / "broken.runconfig").write_text("script: [\n", encoding="utf-8")
        result = self.run_muster(["validate", "project"])
        self.assert_code(result, 65)
        self.assertIn("project/broken.runconfig:1:9: refused: cannot read", result.stdout)
        shown = self.run_muster(["validate", "--json", "project"])
        self.assert_code(shown, 65)
        files = json.loads(shown.stdout)
        self.assertEqual([each["resolved"] for each in files["files"]], [True, True, False, True])
        self.assertEqual(files["other_files"], 1)

    def test_a_directory_without_configs_is_told(self):
        (self.work_dir / "empty").mkdir()
        result = self.run_muster(["validate", "empty"])
        self.assert_code(result, 65)
        self.assertIn("no run config below empty", result.stderr)


if __name__ == "__main__":
    muster_test.main()
