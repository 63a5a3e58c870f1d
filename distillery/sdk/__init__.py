"""The Python SDK: `Client`, what it returns, and what it raises."""

from distillery.sdk.client import Client
from distillery.sdk.errors import (
    ApiError,
    ClientError,
    Corrupt,
    JobFailed,
    Rejected,
    Unreachable,
    UsageMistake,
)
from distillery.sdk.job import Job
from distillery.sdk.views import Dataset, Event, Metrics, Model, Result
from distillery.wire.jobs import JobCreate as JobSpec
from kdcore.spec.run import Input, Network

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "Corrupt",
    "Dataset",
    "Event",
    "Input",
    "Job",
    "JobFailed",
    "JobSpec",
    "Metrics",
    "Model",
    "Network",
    "Rejected",
    "Result",
    "Unreachable",
    "UsageMistake",
]
