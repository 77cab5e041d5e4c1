"""The manifests that docs/kubernetes.md and docs/azure-batch.md show are whole, and Muster takes their words."""

import json
import re
from pathlib import Path

import muster_test
from muster_test import MusterTest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


class Manifests(MusterTest):
    def documents(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("no yaml for Python (Debian: python3-yaml)")
        return [document for block in blocks("kubernetes.md", "yaml")
                for document in yaml.safe_load_all(block)]

    def test_kubernetes(self):
        kinds = [document["kind"] for document in self.documents()]
        self.assertEqual(kinds, ["Service", "Job", "JobSet", "MPIJob"])

    def containers(self, node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "containers":
                    yield from value
                else:
                    yield from self.containers(value)
        elif isinstance(node, list):
            for each in node:
                yield from self.containers(each)

    def test_their_commands_are_words_of_muster(self):
        (self.work_dir / "run.yaml").write_text(
            "command: 'true'\nprocess_count_per_node: 1\ndistributed_backend: direct\n", "utf-8")
        token = self.directory / "token"
        token.write_text("a token of this test, long enough to be one: 0123456789\n", "utf-8")
        token.chmod(0o600)
        environments = {"Job": {"JOB_COMPLETION_INDEX": "9"},
                        "JobSet": {"JOB_COMPLETION_INDEX": "9", "JOBSET_NAME": "llm"},
                        "MPIJob": {"K_MPI_JOB_ROLE": "worker"}}
        seen = 0
        for document in self.documents():
            for container in self.containers(document):
                seen += 1
                self.assertEqual(container["command"][:2], ["muster", "run"])
                # A rank beyond the last: told before anything is waited for.
                done = self.run_muster(container["command"][1:],
                                       env={**environments[document["kind"]],
                                            "MUSTER_TOKEN_FILE": str(token)})
                self.assertNotIn("unknown", done.stderr)
                if document["kind"] == "Job":
                    self.assertIn("node rank 9 (JOB_COMPLETION_INDEX) of 3 nodes (--nodes)",
                                  done.stderr)
                self.assertEqual(done.code, 64, done.stderr)
        self.assertEqual(seen, 4)

    def test_azure_batch(self):
        [task] = map(json.loads, blocks("azure-batch.md", "json"))
        self.assertIn("muster run", task["multiInstanceSettings"]["coordinationCommandLine"])


if __name__ == "__main__":
    muster_test.main()
