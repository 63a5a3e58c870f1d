"""The store's and the worker's fixtures, and a release after this one."""

import shutil
from pathlib import Path

import pytest

from distillery.store.db import schema
from tests.store.conftest import blobs as blobs
from tests.store.conftest import parts as parts
from tests.worker.conftest import harness as harness
from tests.worker.conftest import pg_harness as pg_harness

NEXT = Path(__file__).with_name("versions") / "0002_next.py"


@pytest.fixture
def next_scripts(tmp_path: Path) -> Path:
    """The migrations of a release after this one: ours, and one of the tests' own."""
    scripts = tmp_path / "next" / "migrations"
    shutil.copytree(schema.SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(NEXT, scripts / "versions")
    return scripts


@pytest.fixture
def next_release(next_scripts: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes this program the release after this one; its newest revision."""
    monkeypatch.setattr(schema, "SCRIPTS", next_scripts)
    monkeypatch.setattr(schema, "HEAD", "0002")
    return schema.HEAD
