"""Writes docs/methods.md from the methods' docstrings and knobs: `make docs`."""
