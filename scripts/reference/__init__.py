"""Generates the pages of docs/ that the code itself describes."""

from scripts.reference import cli, errors, rest, settings

PAGES = (cli, rest, errors, settings)
