"""Letting go of what is over and has been kept long enough; `Collector` goes through all of it."""

from distillery.store.ops.retention.collector import Collector
from distillery.store.ops.retention.usage import Kind, Usage

__all__ = ["Collector", "Kind", "Usage"]
