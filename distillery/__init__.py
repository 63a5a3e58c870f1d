"""Distillery: knowledge distillation as a service.

`distillery.api`, `distillery.worker` and `distillery.migrations` are links to the folders of the
same names at the repository's root.
"""
