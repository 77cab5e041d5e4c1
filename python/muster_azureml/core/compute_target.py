"""azureml.core.compute_target"""

from muster_azureml.core.compute import AmlCompute, ComputeTarget
from muster_azureml.exceptions import ComputeTargetException

__all__ = ["AmlCompute", "ComputeTarget", "ComputeTargetException"]
