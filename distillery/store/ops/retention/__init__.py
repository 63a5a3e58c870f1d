"""Retention: deletes data whose retention period has expired, with `Collector`."""

from distillery.store.ops.retention.collector import Collector
from distillery.store.ops.retention.usage import Kind, Usage

__all__ = ["Collector", "Kind", "Usage"]
