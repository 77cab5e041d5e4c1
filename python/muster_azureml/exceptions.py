"""The errors of this package, under the SDK's names."""

from __future__ import annotations


class AzureMLException(Exception):
    """What all errors of this package are."""

    def __init__(self, exception_message: str = ""):
        super().__init__(exception_message)
        self.message = exception_message


class UserErrorException(AzureMLException):
    """What was asked for makes no sense, or `muster` refused it: its words are in the message."""


class RunConfigurationException(UserErrorException):
    """A run configuration contradicts itself."""


class TrainingException(UserErrorException):
    """An estimator's arguments contradict each other."""


class RunEnvironmentException(AzureMLException):
    """There is no run around this process."""


class ActivityFailedException(AzureMLException):
    """A run that was waited for failed; `error_details` is its report, as Muster printed it."""

    def __init__(self, error_details: str = ""):
        super().__init__(error_details)
        self.error_details = error_details


class ComputeTargetException(AzureMLException):
    """Kept for `except` clauses: every compute target's name is accepted here."""
