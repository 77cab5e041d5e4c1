"""The names of azureml.core."""

from muster_azureml import __version__
from muster_azureml.core.compute import ComputeTarget
from muster_azureml.core.dataset import Dataset
from muster_azureml.core.datastore import Datastore
from muster_azureml.core.environment import Environment
from muster_azureml.core.experiment import Experiment
from muster_azureml.core.run import Run
from muster_azureml.core.runconfig import RunConfiguration
from muster_azureml.core.script_run_config import ScriptRunConfig
from muster_azureml.core.workspace import Workspace

VERSION = __version__

__all__ = ["ComputeTarget", "Dataset", "Datastore", "Environment", "Experiment", "Run",
           "RunConfiguration", "ScriptRunConfig", "VERSION", "Workspace"]
