"""The SDK v1 page's first Estimator, whole: only the import lines are changed.

    /usr/bin/python3 make_data.py data
    PYTHONPATH=../../python /usr/bin/python3 first_estimator.py

conda_packages need a conda; without one, have the names installed from PyPI:
MUSTER_SET=environment.python.conda_packages_by=pip
"""

from muster_azureml.core import Experiment, Workspace
from muster_azureml.core.compute import AmlCompute, ComputeTarget
from muster_azureml.core.compute_target import ComputeTargetException
from muster_azureml.train.estimator import Estimator

ws = Workspace.from_config()
print(ws.name, ws.resource_group, ws.location, sep="\t")

cluster_name = "cpu-cluster"
try:
    compute_target = ComputeTarget(workspace=ws, name=cluster_name)
    print("Found existing compute target")
except ComputeTargetException:
    config = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", max_nodes=4)
    compute_target = ComputeTarget.create(ws, cluster_name, config)
    compute_target.wait_for_completion(show_output=True)

ds = ws.get_default_datastore()
print(ds.datastore_type, ds.name)
ds.upload(src_dir="./data", target_path="digits", overwrite=True, show_progress=True)

script_params = {
    "--data-folder": ds.as_mount(),
    "--regularization": 0.8,
}

sk_est = Estimator(source_directory="./project",
                   script_params=script_params,
                   compute_target=compute_target,
                   entry_script="train.py",
                   conda_packages=["scikit-learn"])

experiment = Experiment(workspace=ws, name="sklearn-digits")
run = experiment.submit(sk_est)
print(run)

run.wait_for_completion(show_output=True)
print(run.get_metrics())
print(run.get_details()["status"])

print(run.get_file_names())
run.download_file(name="outputs/sklearn_digits_model.pkl",
                  output_file_path="sklearn_digits_model.pkl")
