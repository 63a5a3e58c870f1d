"""Writes docs/methods.md from the methods' own words and their knobs: `make docs`."""
