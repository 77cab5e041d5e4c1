"""The names of azureml.train."""
