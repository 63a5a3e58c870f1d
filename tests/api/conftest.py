"""The app over a fresh database, as its local user and as others."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.makers import ApiHarness


@pytest.fixture
def harness(sqlite_template: Path, tmp_path: Path) -> Iterator[ApiHarness]:
    """A running app on SQLite."""
    path = tmp_path / "distillery.sqlite"
    shutil.copyfile(sqlite_template, path)
    with ApiHarness(f"sqlite:///{path}", tmp_path) as harness:
        yield harness


@pytest.fixture(scope="module")
def shared(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiHarness]:
    """A running app on SQLite for those tests of a file that leave nothing behind."""
    home = tmp_path_factory.mktemp("shared")
    path = home / "distillery.sqlite"
    shutil.copyfile(sqlite_template, path)
    with ApiHarness(f"sqlite:///{path}", home) as harness:
        yield harness


@pytest.fixture
def either(database_url: str, tmp_path: Path) -> Iterator[ApiHarness]:
    """A running app, once on SQLite and once on PostgreSQL."""
    with ApiHarness(database_url, tmp_path) as harness:
        yield harness
