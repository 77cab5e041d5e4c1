"""Estimators by framework: the generic one with the framework's own ways to be distributed.

No framework is added to the packages: it is the one that is installed, or that pip_packages names.
"""

from __future__ import annotations

from muster_azureml.core.runconfig import MpiConfiguration, ParallelTaskConfiguration
from muster_azureml.train._distributed import Gloo, Mpi, Nccl, ParameterServer
from muster_azureml.train.estimator import Estimator

__all__ = ["Chainer", "Gloo", "Mpi", "MpiConfiguration", "Nccl", "ParallelTaskConfiguration",
           "ParameterServer", "PyTorch", "TensorFlow"]


class PyTorch(Estimator):
    framework = "PyTorch"
    backends = ("mpi", "gloo", "nccl")


class TensorFlow(Estimator):
    framework = "TensorFlow"
    backends = ("mpi", "ps")


class Chainer(Estimator):
    framework = "Python"
