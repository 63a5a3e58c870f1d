"""Generates the pages of docs/ that describe the code."""

from scripts.reference import cli, errors, rest, settings

PAGES = (cli, rest, errors, settings)
