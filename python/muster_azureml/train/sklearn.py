"""SKLearn: one process; scikit-learn is the one that is installed, or that pip_packages names."""

from __future__ import annotations

from muster_azureml.exceptions import TrainingException
from muster_azureml.train.estimator import Estimator

__all__ = ["SKLearn"]


class SKLearn(Estimator):
    def __init__(self, source_directory: str = ".", **arguments):
        for name in ("node_count", "process_count_per_node"):
            if arguments.get(name, 1) != 1:
                raise TrainingException(f"{name}: SKLearn trains in one process; use Estimator")
        super().__init__(source_directory, **arguments)
