"""Storage for the store's tests."""

from pathlib import Path

import pytest

from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.blobs.upload_parts import UploadParts


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    """Empty blob storage."""
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
def parts(tmp_path: Path) -> UploadParts:
    """An empty folder for the parts of uploads."""
    return UploadParts(tmp_path / "uploads")
