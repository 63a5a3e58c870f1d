"""The generated pages are up to date."""

from pathlib import Path
from typing import Any

import pytest

from distillery.api.main import create_app
from distillery.wire.codes import CATALOGUE
from distillery.wire.job_codes import WaitReason
from scripts.reference import PAGES, cli, errors, rest, settings
from tests.docs.blocks import blocks_of


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.PAGE.stem)
def test_a_generated_page_is_fresh(page: Any) -> None:
    assert page.build() == page.PAGE.read_text(encoding="utf-8"), "run: make docs"


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


def test_every_code_and_every_reason_to_wait_is_explained() -> None:
    text = errors.PAGE.read_text(encoding="utf-8")
    for code in CATALOGUE.values():
        assert f"| `{code}` | " in text and code.next_step in text
    assert all(f"| `{reason}` | {reason.meaning} |" in text for reason in WaitReason)


def test_a_setting_comes_with_its_default_range_and_readers() -> None:
    text = settings.PAGE.read_text(encoding="utf-8")
    assert "| `KD_GRACE_S` | `20` | number, ≥ 0 | worker | " in text
    assert "| `KD_KEEP_FAILED_S` | `604800` (7 days) | number, ≥ 0 | API, worker, reaper | " in text
    assert "| `KD_MIN_FREE_BYTES` | `536870912` (512 MiB) | " in text
    assert str(Path.home()) not in text and str(settings.PAGE.parents[1]) not in text
