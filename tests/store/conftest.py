"""Storage for the store's tests."""

from pathlib import Path

import pytest

from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.blobs.upload_parts import Parts


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    """Empty blob storage."""
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    """An empty folder for the parts of uploads."""
    return Parts(tmp_path / "uploads")
