"""Handles of data that a run reads and writes, by the names of azureml.data."""

from muster_azureml.data.data_reference import DataReference
from muster_azureml.data.dataset_consumption_config import DatasetConsumptionConfig
from muster_azureml.data.output_dataset_config import OutputFileDatasetConfig

__all__ = ["DataReference", "DatasetConsumptionConfig", "OutputFileDatasetConfig"]
