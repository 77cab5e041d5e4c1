"""The Python side of Azure ML's SDK v1, over the `muster` command line.

A script that was written for the SDK runs when its import lines say `muster_azureml` instead of
`azureml`.  The modules have the SDK's names: core, core.runconfig, train.estimator, train.dnn, …
docs/python.md says what each name does here.
"""

__version__ = "0.1.0"
