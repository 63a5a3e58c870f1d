"""Measurements that the documentation quotes; no part of what is installed."""
