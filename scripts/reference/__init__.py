"""Generates docs/cli.md and docs/rest.md from the code."""
