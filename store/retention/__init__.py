"""Letting go of what is over and has been kept long enough; `Collector` goes through all of it."""

from store.retention.collector import Collector
from store.retention.found import Found, Kind

__all__ = ["Collector", "Found", "Kind"]
