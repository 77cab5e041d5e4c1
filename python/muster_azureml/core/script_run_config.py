"""ScriptRunConfig: a script or command, its arguments, and a run configuration."""

from __future__ import annotations

import copy
import os
from typing import Any, List, Optional

from muster_azureml._submission import Submission, one_node_options
from muster_azureml._tell import tell_unused
from muster_azureml.core.runconfig import LoadedRunConfiguration, RunConfiguration
from muster_azureml.data._bindings import Bindings
from muster_azureml.exceptions import RunConfigurationException


class ScriptRunConfig:
    """What the SDK's later pages use in an estimator's place."""

    def __init__(self, source_directory: str = ".", script: Optional[str] = None,
                 arguments: Optional[List[Any]] = None, run_config=None,
                 _telemetry_values=None, compute_target=None, environment=None,
                 distributed_job_config=None, resume_from=None,
                 max_run_duration_seconds: Optional[int] = None, command=None,
                 docker_runtime_config=None):
        if command and (script or arguments):
            raise RunConfigurationException(
                "command and script (or arguments) are both given: write one of them")
        if run_config is not None and environment is not None \
                and isinstance(run_config, LoadedRunConfiguration):
            raise RunConfigurationException(
                f"environment beside a loaded run configuration: write it in {run_config.path}")
        tell_unused("ScriptRunConfig", {"resume_from": resume_from},
                    {"resume_from": "give the path as an argument of the script"})
        if isinstance(arguments, str):
            raise RunConfigurationException(f'arguments is the text "{arguments}": it is a list, '
                                            f"{arguments.split()!r}")
        self.source_directory = source_directory
        self.script = script
        self.arguments = arguments
        self.command = command
        if isinstance(run_config, LoadedRunConfiguration):
            self.run_config = run_config
            if any((script, arguments, command, distributed_job_config)):
                raise RunConfigurationException(
                    "script, arguments, command or distributed_job_config beside a loaded run "
                    f"configuration: write them in {run_config.path}")
            return
        self.run_config: RunConfiguration = copy.copy(run_config or RunConfiguration())
        for name, value in (("target", compute_target), ("environment", environment),
                            ("docker", docker_runtime_config),
                            ("max_run_duration_seconds", max_run_duration_seconds)):
            if value is not None:
                setattr(self.run_config, name, value)
        if distributed_job_config is not None:
            use_distribution(self.run_config, distributed_job_config)

    def submission(self, run_id: str) -> Submission:
        if isinstance(self.run_config, LoadedRunConfiguration):
            return Submission(None, self.source_directory, file=str(self.run_config.path))
        config = copy.copy(self.run_config)
        config.script = self.script or config.script
        config.arguments = self.arguments if self.arguments is not None else config.arguments
        config.command = self.command or config.command
        if not config.script and not config.command:
            raise RunConfigurationException("neither script nor command is given")
        if config.script and config.script.endswith(".ipynb"):
            raise RunConfigurationException(
                f"{config.script} is a notebook: write it as a script (jupyter nbconvert --to script)")
        notes: List[str] = []
        return Submission(
            config.to_document(Bindings(run_id)), os.path.abspath(self.source_directory),
            settings=config.environment.settings(),
            options=one_node_options(config.node_count, notes), notes=notes)


def use_distribution(config: RunConfiguration, block) -> None:
    """A *Configuration object decides communicator, framework, and the count of nodes it has."""
    config.communicator = block.communicator
    config.framework = block.framework
    if block.node_count is not None:
        config.node_count = block.node_count
    setattr(config, block.key, block)
