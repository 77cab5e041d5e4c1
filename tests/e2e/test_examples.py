"""The examples train, through muster, to the results that their READMEs promise."""

import importlib.util
import json
import pickle
import unittest

import muster_test

EXAMPLES = muster_test.SOURCE_DIR / "examples"


def needs_modules(*names):
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)} (scripts/setup)")


class SklearnExample(muster_test.MusterTest):
    def run_example(self, *extra):
        result = self.run_muster(["run", EXAMPLES / "digits_sklearn/run.yaml", *extra])
        self.assert_code(result, 0)
        return result

    @needs_modules("sklearn")
    def test_leaves_a_model_that_knows_digits_in_outputs(self):
        result = self.run_example()
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        with open(result.run_directory / "outputs/model.pkl", "rb") as file:
            model = pickle.load(file)
        self.assertGreater(model.score(images / 16.0, labels), 0.9)
        self.assertAlmostEqual(model.C, 1 / 0.8)
        self.assertEqual(result.run_json["status"], "succeeded")
        self.assertEqual(result.run_json["exit_code"], 0)

    @needs_modules("sklearn")
    def test_takes_regularization_from_script_params_unless_the_command_line_adds_another(self):
        self.assertIn(b"regularization=0.8 accuracy=0.9", self.run_example().rank_bytes(0))
        result = self.run_example("--", "--regularization", "10")
        self.assertIn(b"regularization=10.0 accuracy=", result.rank_bytes(0))

    @needs_modules("sklearn")
    def test_leaves_the_source_directory_as_it_was(self):
        before = sorted((EXAMPLES / "digits_sklearn").rglob("*"))
        self.run_example()
        self.assertEqual(sorted((EXAMPLES / "digits_sklearn").rglob("*")), before)


@muster_test.needs_mpirun
class Mpi4pyExample(muster_test.MusterTest):
    def train(self, ranks):
        import numpy as np

        result = self.run_muster(["run", "-n", ranks, EXAMPLES / "digits_mpi4py/run.yaml"])
        self.assert_code(result, 0)
        outputs = result.run_directory / "outputs"
        summary = json.loads((outputs / "result.json").read_text(encoding="utf-8"))
        self.assertEqual(summary["world_size"], ranks)
        self.assertIn(f"1500 images over {ranks} ranks", result.rank_bytes(0).decode())
        return summary, np.load(outputs / "weights.npy")

    @needs_modules("numpy", "mpi4py", "sklearn")
    def test_ends_at_the_same_result_on_one_two_and_four_ranks(self):
        import numpy as np

        one, weights_of_one = self.train(1)
        self.assertGreater(one["accuracy"], 0.95)
        for ranks in (2, 4):
            with self.subTest(ranks=ranks):
                several, weights = self.train(ranks)
                np.testing.assert_allclose(weights, weights_of_one, rtol=0, atol=1e-9)
                self.assertAlmostEqual(several["loss"], one["loss"], delta=1e-9)
                self.assertEqual(several["accuracy"], one["accuracy"])
                self.assertEqual(several["steps"], one["steps"])

    @needs_modules("numpy", "mpi4py", "sklearn")
    def test_runs_on_two_ranks_as_its_config_says(self):
        result = self.run_muster(["run", EXAMPLES / "digits_mpi4py/run.yaml"])
        self.assert_code(result, 0)
        self.assertTrue(result.rank_file(1).exists())
        self.assertFalse(result.rank_file(2).exists())
        self.assertEqual(result.rank_bytes(1, "stderr.log"), b"")
        self.assert_nothing_left()


if __name__ == "__main__":
    muster_test.main()
