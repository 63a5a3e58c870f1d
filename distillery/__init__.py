"""Distillery: knowledge distillation as a service. `from distillery import Client` is the SDK.

`distillery.api`, `distillery.worker` and `distillery.migrations` are links to the folders of the
same names at the repository's root.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distillery.sdk import ApiError, Client, ClientError, JobFailed, Rejected, Unreachable

__all__ = ["ApiError", "Client", "ClientError", "JobFailed", "Rejected", "Unreachable"]


def __getattr__(name: str) -> Any:
    # Imported on first use: the API and the worker import this package too, without the SDK.
    if name in __all__:
        from distillery import sdk

        return getattr(sdk, name)
    raise AttributeError(f"module 'distillery' has no attribute {name!r}")
