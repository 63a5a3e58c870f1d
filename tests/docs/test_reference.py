"""The generated pages are what the code says today."""

import pytest

from distillery.api.main import create_app
from scripts.reference import cli, rest
from tests.docs.blocks import blocks_of


@pytest.mark.parametrize("page", [cli, rest], ids=["cli", "rest"])
def test_a_generated_page_is_fresh(page: object) -> None:
    assert page in (cli, rest)
    module = cli if page is cli else rest
    assert module.build() == module.PAGE.read_text(encoding="utf-8"), "run: make docs"


def test_every_operation_and_shape_has_its_section() -> None:
    text = rest.PAGE.read_text(encoding="utf-8")
    document = create_app().openapi()
    for path, item in document["paths"].items():
        for method in item:
            assert f"### `{method.upper()} {path}`\n" in text
    assert "### `JobCreate`\n" in text and "(#jobcreate)" in text


def test_every_command_has_its_usage() -> None:
    usages = [block.code.strip() for block in blocks_of(cli.PAGE)]
    assert "kd jobs submit [SPEC] [OPTIONS]" in usages
    assert "kd models push FILE [OPTIONS]" in usages
    assert len(usages) == len(set(usages)) > 20
