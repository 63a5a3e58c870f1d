"""One variable means one thing, whichever class reads it, and all are on the page of settings."""

import ast

from scripts.reference.settings import SECTIONS, variable
from tests.contracts.trees import parse, python_files


def test_every_settings_class_is_on_the_page() -> None:
    found = {
        node.name
        for path in python_files("api", "distillery", "worker")
        if path.name == "config.py"
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef)
    }
    assert found == {settings.__name__ for settings in SECTIONS.values()}


def test_a_variable_is_described_once() -> None:
    described: dict[str, set[tuple[object, str | None]]] = {}
    for settings in SECTIONS.values():
        for field_name, field in settings.model_fields.items():
            key = variable(field_name, field)
            described.setdefault(key, set()).add((field.default, field.description))
    assert {key: texts for key, texts in described.items() if len(texts) > 1} == {}
    assert all(text and text.endswith(".") for texts in described.values() for _, text in texts)
