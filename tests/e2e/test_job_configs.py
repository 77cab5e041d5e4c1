"""Azure ML v2 command jobs and Batch AI jobs, run as they are: inputs, outputs, references, counts."""

import json

import muster_test
from muster_test import MPIRUN, MusterTest

V2_JOB = """\
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
command: >-
  cat ${{inputs.digits}}/part.csv > ${{outputs.model}}/rank-$RANK.txt &&
  echo "lr ${{inputs.lr}} $[[epochs ${{inputs.epochs}} ]]rank $RANK of $WORLD_SIZE" &&
  test "$AZURE_ML_INPUT_digits" = ${{inputs.digits}}
code: ./src
environment: azureml:sklearn@latest
compute: azureml:cpu-cluster
inputs:
  digits: {type: uri_folder, path: ./digits, mode: ro_mount}
  lr: 0.10
  epochs:
outputs: {model: }
distribution: {type: BACKEND, process_count_per_instance: 2}
resources: {instance_count: NODES}
"""


class JobConfigs(MusterTest):
    def files(self, **texts):
        for name, text in texts.items():
            path = self.work_dir / name.replace("__", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for name in ("src", "digits"):
            (self.work_dir / name).mkdir(exist_ok=True)
        (self.work_dir / "digits/part.csv").write_text("1,2,3\n", encoding="utf-8")

    def v2(self, backend, nodes, *options):
        self.files(job__yml=V2_JOB.replace("BACKEND", backend).replace("NODES", str(nodes)))
        result = self.run_muster(["run", "job.yml", "--console", "all", *options], cwd=self.work_dir)
        self.assert_code(result, 0)
        return result

    def check_ranks(self, result, count):
        for rank in range(count):
            self.assertIn(f"lr 0.10 rank {rank} of {count}", result.stdout)
            kept = result.run_directory / f"outputs/model/rank-{rank}.txt"
            self.assertEqual(kept.read_text(encoding="utf-8"), "1,2,3\n")

    def test_a_v2_job_reads_its_input_and_leaves_its_output(self):
        self.check_ranks(self.v2("pytorch", 1), 2)

    @muster_test.unittest.skipUnless(MPIRUN, "no Open MPI")
    def test_a_v2_job_with_mpi(self):
        self.check_ranks(self.v2("Mpi", 1), 2)

    def test_a_v2_job_of_two_nodes_on_one(self):
        result = self.v2("pytorch", 2, "--one-node")
        self.check_ranks(result, 4)
        self.assertIn("--one-node: all ranks of 2 nodes are on this one", result.stderr)
        plan = json.loads((result.run_directory / "plan.json").read_bytes())
        self.assertEqual((plan["world_size"], plan["asked_node_count"]), (4, 2))

    def test_a_v2_job_of_two_nodes_needs_to_be_told(self):
        self.files(job__yml=V2_JOB.replace("BACKEND", "pytorch").replace("NODES", "2"))
        result = self.run_muster(["run", "job.yml"], cwd=self.work_dir)
        self.assert_code(result, 64)
        self.assertIn("--one-node puts all ranks on this one", result.stderr)

    @muster_test.unittest.skipUnless(MPIRUN, "no Open MPI")
    def test_a_batch_ai_job(self):
        job = {"properties": {
            "nodeCount": 1,
            "customMpiSettings": {
                "commandLine": "mpirun -n 2 sh -c 'cat $AZ_BATCHAI_INPUT_DIGITS/part.csv "
                               "> $AZ_BATCHAI_OUTPUT_MODEL/$OMPI_COMM_WORLD_RANK; echo $NOTE'",
                "processCount": 2},
            "inputDirectories": [{"id": "DIGITS", "path": "$AZ_BATCHAI_MOUNT_ROOT/share/digits"}],
            "outputDirectories": [{"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/share",
                                   "pathSuffix": "models"}],
            "environmentVariables": [{"name": "NOTE", "value": "a note"}]}}
        self.files(job__json=json.dumps(job), datastores__yaml=
                   f"datastores: {{share: {{type: local, path: {self.work_dir}}}}}\n")
        (self.work_dir / "models").mkdir()
        result = self.run_muster(["run", "job.json", "--console", "all"], cwd=self.work_dir)
        self.assert_code(result, 0)
        self.assertEqual(result.stdout.count("a note"), 2)
        for rank in ("0", "1"):
            self.assertEqual((self.work_dir / "models" / rank).read_text(encoding="utf-8"),
                             "1,2,3\n")

    def test_a_batch_ai_script_gets_words_and_variables(self):
        job = {"pyTorchSettings": {"pythonScriptFilePath": "show.py", "processCount": 2,
                                   "commandLineArgs": "--lr 1.0 'two words' $AZ_BATCHAI_TASK_INDEX"}}
        self.files(job__json=json.dumps(job), show__py="import sys\nprint(sys.argv[1:])\n")
        result = self.run_muster(["run", "job.json", "--console", "all"], cwd=self.work_dir)
        self.assert_code(result, 0)
        for rank in range(2):
            self.assertIn(f"['--lr', '1.0', 'two words', '{rank}']", result.stdout)

    def test_a_secret_is_printed_nowhere(self):
        job = {"customToolkitSettings": {"commandLine": "true"},
               "secrets": [{"name": "KEY", "value": "hunter2"}]}
        self.files(job__json=json.dumps(job))
        for command in ("run", "plan", "validate"):
            result = self.run_muster([command, "job.json"], cwd=self.work_dir)
            self.assert_code(result, 65)
            self.assertIn("KEY is a secret", result.stderr)
            self.assertNotIn("hunter2", result.stdout + result.stderr)


if __name__ == "__main__":
    muster_test.main()
