"""How an estimator's ranks are started: distributed_training or distributed_backend."""

from __future__ import annotations

from typing import Optional

from muster_azureml.core.runconfig import (MpiConfiguration, ParallelTaskConfiguration,
                                           PyTorchConfiguration, TensorflowConfiguration)
from muster_azureml.exceptions import TrainingException


class Mpi(MpiConfiguration):
    """The older name of MpiConfiguration, with as many ranks on each node."""


class ParameterServer(TensorflowConfiguration):
    """TensorFlow's workers and parameter servers."""


class Gloo(PyTorchConfiguration):
    """PyTorch over gloo; the estimator's counts hold."""

    def __init__(self):
        super().__init__("Gloo")


class Nccl(PyTorchConfiguration):
    """PyTorch over NCCL; the estimator's counts hold."""

    def __init__(self):
        super().__init__("Nccl")


def distribution_of(training, backend: Optional[str], node_count: int, process_count: int,
                    backends, worker_count: int = 1, parameter_server_count: int = 1):
    """The distribution of an estimator; None for one process."""
    for name, count in (("node_count", node_count), ("process_count_per_node", process_count)):
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise TrainingException(f"{name} is {count!r}: it is a whole number, 1 or more")
    if training is not None and backend is not None:
        raise TrainingException("distributed_training and distributed_backend are both given: "
                                "write one of them")
    if training is not None:
        return _checked(training, node_count, process_count)
    if backend is None:
        if node_count > 1 or process_count > 1:
            raise TrainingException(
                f"node_count {node_count} and process_count_per_node {process_count} make "
                f"{node_count * process_count} processes, but nothing says how they find each "
                "other: add distributed_training=MpiConfiguration() or distributed_backend='mpi'")
        return None
    word = backend.lower()
    if word not in backends:
        raise TrainingException(f"distributed_backend '{backend}': here it is one of "
                                f"{', '.join(repr(each) for each in backends)}")
    if word == "ps":
        return TensorflowConfiguration(worker_count, parameter_server_count)
    if word in ("gloo", "nccl"):
        return _checked(PyTorchConfiguration(word.capitalize()), node_count, process_count)
    return MpiConfiguration(process_count)


def _checked(training, node_count: int, process_count: int):
    known = (MpiConfiguration, ParallelTaskConfiguration, PyTorchConfiguration,
             TensorflowConfiguration)
    if not isinstance(training, known):
        raise TrainingException(f"distributed_training is {training!r}: use MpiConfiguration, "
                                "PyTorchConfiguration, TensorflowConfiguration, Mpi, Gloo, Nccl or "
                                "ParameterServer")
    if isinstance(training, MpiConfiguration) and training.process_count_per_node == 1 \
            and process_count > 1:
        return MpiConfiguration(process_count, training.node_count)
    if isinstance(training, PyTorchConfiguration) and training.process_count is None \
            and process_count > 1:
        return PyTorchConfiguration(training.communication_backend, node_count * process_count,
                                    training.node_count)
    return training
