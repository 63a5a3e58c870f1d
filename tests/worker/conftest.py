"""Fixtures: an empty service on SQLite or PostgreSQL, and real processes of the worker."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.db.database import Database
from tests.worker.harness import WorkerHarness
from tests.worker.programs import Programs


@pytest.fixture
def pg_harness(tmp_path: Path, postgres_url: str) -> Iterator[WorkerHarness]:
    """An empty service on PostgreSQL."""
    database = Database(postgres_url)
    database.migrate()
    yield WorkerHarness(tmp_path, postgres_url, database, LocalBlobs(tmp_path / "blobs"))
    database.dispose()


@pytest.fixture
def harness(tmp_path: Path, sqlite_template: Path) -> Iterator[WorkerHarness]:
    """An empty service on SQLite."""
    path = tmp_path / "distillery.sqlite"
    shutil.copyfile(sqlite_template, path)
    url = f"sqlite:///{path}"
    database = Database(url)
    yield WorkerHarness(tmp_path, url, database, LocalBlobs(tmp_path / "blobs"))
    database.dispose()


@pytest.fixture
def local(harness: WorkerHarness) -> Iterator[Programs]:
    """The worker's programs on SQLite and the directory broker."""
    programs = Programs(harness, None)
    yield programs
    programs.stop()
