"""Words of torchrun and mpirun, MUSTER_ variables, and which Python runs: what reaches the ranks."""

import json
import os

import muster_test
from muster_test import MUSTER, MusterTest, PYTHON

SHOW = """import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "name": __name__, "python": sys.executable,
                  "environment": {name: os.environ.get(name) for name in
                                  ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LR",
                                   "MUSTER_CONSOLE", "MUSTER_RUNS_DIR")}}))
"""
USAGE, CONFIG = 64, 65


class CommandLineTest(MusterTest):
    def write(self, name, text, mode=0o644):
        path = self.work_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def seen(self, *words, env=None, ranks=1):
        """What rank 0 saw, and the run."""
        result = self.run_muster(["run", "--backend", "direct", *words], env=env)
        self.assert_code(result, 0)
        self.assertEqual(len(result.run_json["attempts"][0]["ranks"]), ranks)
        return json.loads(result.rank_bytes(0)), result


class Torchrun(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.write("train.py", SHOW)
        self.write("pkg/__init__.py", "")
        self.write("pkg/train.py", SHOW)

    def test_a_script_and_its_arguments(self):
        seen, result = self.seen("--standalone", "--nnodes=1", "--nproc_per_node", "2", "train.py",
                                 "--lr", "0.1", "-n", "7", ranks=2)
        self.assertEqual(seen["argv"], ["--lr", "0.1", "-n", "7"])
        first_line = result.stderr.splitlines()[0]
        for words in ("--nproc-per-node 2 is -n 2", "--nnodes 1 is --nodes 1",
                      "--standalone is what a run on one node is anyway",
                      "train.py is -- python3 train.py"):
            self.assertIn(words, first_line)

    def test_a_module(self):
        seen, _ = self.seen("--nproc-per-node", "1", "-m", "pkg.train", "--lr", "0.1")
        self.assertEqual((seen["argv"], seen["name"]), (["--lr", "0.1"], "__main__"))

    def test_a_program_that_is_not_python(self):
        self.write("start.sh", f"#!/bin/sh\nexec {PYTHON} train.py \"$@\"\n", 0o755)
        for words in (["--no_python", "./start.sh"], ["./start.sh"]):
            seen, _ = self.seen(*words, "--lr", "1")
            self.assertEqual(seen["argv"], ["--lr", "1"])

    def test_the_address_of_the_master(self):
        seen, _ = self.seen("--node_rank=0", "--master_addr", "localhost", "--master_port",
                            "29511", "train.py")
        self.assertEqual(seen["environment"]["MASTER_ADDR"], "localhost")
        self.assertEqual(seen["environment"]["MASTER_PORT"], "29511")

    def test_as_many_ranks_as_cpus(self):
        cpus = len(os.sched_getaffinity(0))
        seen, _ = self.seen("--nproc-per-node", "cpu", "train.py", ranks=cpus)
        self.assertEqual(seen["environment"]["WORLD_SIZE"], str(cpus))

    def test_what_this_version_does_not_have(self):
        for words, code, message, hint in (
                (["--nnodes", "2"], USAGE, "nothing says where they meet", "--one-node"),
                (["--nnodes", "1:2"], USAGE, "nothing says where they meet", "--one-node"),
                (["--node-rank", "1"], USAGE, "a run has one node", "write 0"),
                (["--max_restarts", "3"], CONFIG, "restarting a failed run",
                 "write --max-restarts 0, and start the run again"),
                (["--rdzv_backend=etcd"], USAGE, "no option", "no rendezvous"),
                (["--tee", "3"], USAGE, "no option", "--console all"),
                (["-H", "a,b"], USAGE, "no option", "the node it is started on"),
                (["--mca", "btl", "tcp"], USAGE, "no option", "-x OMPI_MCA_NAME=VALUE")):
            with self.subTest(words):
                result = self.run_muster(["run", *words, "train.py"])
                self.assert_code(result, code)
                self.assertIn(message, result.stderr)
                self.assertIn(hint, result.stderr)
                self.assertEqual(self.run_directories(), [])

    def test_a_script_that_is_not_there(self):
        result = self.run_muster(["run", "trian.py"])
        self.assert_code(result, CONFIG)
        self.assertIn('did you mean "train.py"?', result.stderr)
        self.assertIn("counts from the current directory",
                      self.run_muster(["run", "evaluate_all.py"]).stderr)

    def test_the_plan_says_what_the_words_are(self):
        result = self.run_muster(["plan", "--nproc-per-node", "2", "--standalone", "--backend",
                                  "direct", "train.py"])
        self.assert_code(result, 0)
        self.assertRegex(result.stdout, r"process_count_per_node +2 +--nproc-per-node \(-n\)")
        self.assertRegex(result.stdout, r"--nproc-per-node 2 +-n 2 ")
        self.assertRegex(result.stdout, r"--standalone +what a run on one node is anyway")


class Mpirun(CommandLineTest):
    def test_a_program_and_variables(self):
        self.write("train.py", SHOW)
        seen, _ = self.seen("-np", "2", "--oversubscribe", "-x", "LR=0.1", PYTHON, "train.py",
                            "-n", "7", ranks=2)
        self.assertEqual((seen["argv"], seen["environment"]["LR"]), (["-n", "7"], "0.1"))
        seen, _ = self.seen("-x", "LR", PYTHON, "train.py", env={"LR": "0.5"})
        self.assertEqual(seen["environment"]["LR"], "0.5")


class Variables(CommandLineTest):
    def test_win_over_the_file_and_give_way_to_flags(self):
        self.write("run.yaml", "command: 'true'\nprocess_count_per_node: 2\n"
                               "distributed_backend: mpi\n")
        env = {"MUSTER_BACKEND": "direct", "MUSTER_PROCESS_COUNT_PER_NODE": "3",
               "MUSTER_SET": "limits.drain_timeout=3s\nenvironment.variables.LR=1"}
        result = self.run_muster(["validate", "run.yaml", "-n", "4"], env=env)
        self.assert_code(result, 0)
        for line in (r"process_count_per_node +4 +-n  \(MUSTER_PROCESS_COUNT_PER_NODE says 3, "
                     r"run\.yaml:2:25 says 2\)",
                     r"distributed_backend +direct +MUSTER_BACKEND  \(run\.yaml:3:22 says mpi\)",
                     r"limits\.drain_timeout +3s +MUSTER_SET limits\.drain_timeout=3s",
                     r"environment\.variables\.LR +1 "):
            self.assertRegex(result.stdout, line)
        plan = self.run_muster(["plan", "run.yaml", "--json"], env=env)
        reasons = {each["subject"]: each["why"] for each in json.loads(plan.stdout)["reasons"]}
        self.assertEqual(reasons["distributed_backend"], "MUSTER_BACKEND")
        self.assertEqual(reasons["process_count_per_node"], "MUSTER_PROCESS_COUNT_PER_NODE")

    def test_that_are_wrong_are_named(self):
        for name, value in (("MUSTER_CONSOLE", "al"), ("MUSTER_BACKEND", "mpl"),
                            ("MUSTER_PROCESS_COUNT_PER_NODE", "four"), ("MUSTER_SET", "x")):
            with self.subTest(name):
                result = self.run_muster(["run", "--", "true"], env={name: value})
                self.assertIn(result.code, (USAGE, CONFIG), result)
                self.assertIn(f"error: {name}", result.stderr)

    def test_that_look_misspelt_are_warned_of(self):
        result = self.run_muster(["topo"], env={"MUSTER_BACKEDN": "mpi", "MUSTER_ROUNDS": "3"})
        self.assert_code(result, 0)
        self.assertEqual(result.stderr, "muster: warning: MUSTER_BACKEDN is not a variable of "
                                        "Muster's; did you mean MUSTER_BACKEND?\n")

    def test_of_one_run_do_not_reach_a_run_that_its_rank_starts(self):
        self.write("train.py", SHOW)
        env = {"MUSTER_CONSOLE": "none", "MUSTER_RUN_ID": "outer", "MUSTER_STOP_GRACE_PERIOD": "5s",
               "MUSTER_PROCESS_COUNT_PER_NODE": "2"}
        result = self.run_muster(["run", "--backend", "direct", "--", MUSTER, "run", "--", PYTHON,
                                  "train.py"], env=env)
        self.assert_code(result, 0)
        self.assertEqual(result.stdout, "")
        runs = {path.name: json.loads((path / "run.json").read_text(encoding="utf-8"))
                for path in self.run_directories()}
        self.assertIn("outer", runs)
        self.assertEqual(len(runs), 3)  # each of the two ranks started one of its own
        for name, run in runs.items():
            if name != "outer":
                self.assertEqual(len(run["attempts"][0]["ranks"]), 1)
                seen = json.loads((self.runs_dir / name / "ranks/00000/attempt-0/stdout.log")
                                  .read_text(encoding="utf-8"))
                self.assertIsNone(seen["environment"]["MUSTER_CONSOLE"])
                self.assertEqual(seen["environment"]["MUSTER_RUNS_DIR"], str(self.runs_dir))


    def test_a_relative_runs_dir_is_absolute_in_the_ranks(self):
        self.write("src/train.py", SHOW)
        self.write("run.yaml", "source_directory: src\nentry_script: train.py\n")
        relative = os.path.relpath(self.runs_dir, self.work_dir)
        seen, _ = self.seen("run.yaml", env={"MUSTER_RUNS_DIR": relative})
        self.assertEqual(seen["environment"]["MUSTER_RUNS_DIR"], str(self.runs_dir))


class Python(CommandLineTest):
    def interpreter(self, env, *words):
        result = self.run_muster(["plan", "--json", *words], env=env)
        self.assert_code(result, 0)
        plan = json.loads(result.stdout)
        reason = [each for each in plan["reasons"] if each["subject"] == "interpreter"]
        return reason[0], plan["warnings"]

    def test_of_the_active_environment_is_shown_and_used(self):
        self.write("train.py", SHOW)
        venv = self.work_dir / "venv"
        self.write("venv/pyvenv.cfg", "home = /usr/bin\n")
        (venv / "bin").mkdir()
        (venv / "bin/python3").symlink_to(PYTHON)
        active = {"VIRTUAL_ENV": venv, "PATH": f"{venv}/bin:/usr/bin:/bin"}
        reason, warnings = self.interpreter(active, "train.py")
        self.assertEqual(reason["value"], f"{venv}/bin/python3")
        self.assertIn(f"of the environment {venv} (VIRTUAL_ENV)", reason["why"])
        self.assertEqual(warnings, [])
        seen, _ = self.seen("train.py", env=active)
        self.assertEqual(seen["python"], f"{venv}/bin/python3")
        reason, warnings = self.interpreter({**active, "PATH": "/usr/bin:/bin"}, "train.py")
        self.assertEqual(reason["value"], PYTHON)
        self.assertIn(f"VIRTUAL_ENV={venv} is active, and the ranks run {PYTHON}", warnings[0])

    def test_that_is_called_python3_is_named_to_who_runs_python(self):
        bin_dir = self.work_dir / "bin"
        bin_dir.mkdir()
        (bin_dir / "python3").symlink_to(PYTHON)
        (bin_dir / "sh").symlink_to("/bin/sh")
        self.write("run.yaml", "command: python train.py\n")
        for words in (["--", "python", "train.py"], ["run.yaml"]):
            result = self.run_muster(["run", *words], env={"PATH": bin_dir})
            self.assert_code(result, 127)
            self.assertIn(f"hint: there is no python on the ranks' PATH; python3 is "
                          f"{bin_dir}/python3", result.stderr)


if __name__ == "__main__":
    muster_test.main()
