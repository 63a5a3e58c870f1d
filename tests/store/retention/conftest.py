"""A collector over an empty database and empty folders."""

from pathlib import Path

import pytest

from store.blobs import LocalBlobs
from store.config import Retention
from store.db import Database
from store.parts import Parts
from store.retention import Collector

KEEP = Retention(keep_jobs_s=3600)


@pytest.fixture
def collector(database: Database, blobs: LocalBlobs, parts: Parts, tmp_path: Path) -> Collector:
    """Finished jobs go after an hour, everything else as by default."""
    return Collector(database, blobs, parts, tmp_path / "runs", KEEP)
