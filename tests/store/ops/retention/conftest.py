"""A collector over an empty database and empty folders."""

from pathlib import Path

import pytest

from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.config import Retention
from distillery.store.db.database import Database
from distillery.store.ops.retention import Collector

KEEP = Retention(keep_jobs_s=3600)


@pytest.fixture
def collector(
    database: Database, blobs: LocalBlobs, parts: UploadParts, tmp_path: Path
) -> Collector:
    """Finished jobs go after an hour, everything else as by default."""
    return Collector(database, blobs, parts, tmp_path / "runs", KEEP)
