"""Blobs: named by their hash, durable, shared by writers of the same content."""

import errno
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillery.store.blobs import blobs as module
from distillery.store.blobs.blobs import HashMismatch, LocalBlobs, make_blobs
from distillery.store.errors import NoSpace, NotFound

CONTENT = bytes(range(256)) * 10
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def files_in(blobs: LocalBlobs) -> list[str]:
    files = [path.name for path in blobs.root.rglob("*") if path.is_file()]
    return sorted(name for name in files if name != ".lock")


def test_a_stored_blob_can_be_read(blobs: LocalBlobs) -> None:
    assert blobs.put_stream([CONTENT[:100], CONTENT[100:]]) == (SHA256, len(CONTENT))
    assert blobs.exists(SHA256) and blobs.size(SHA256) == len(CONTENT)
    assert b"".join(blobs.open(SHA256)) == CONTENT
    assert blobs.verify(SHA256)
    path = blobs.path_of(SHA256)
    assert path is not None and path.stat().st_mode & 0o222 == 0


@given(start=st.integers(0, 2600), end=st.none() | st.integers(0, 2600), chunk=st.integers(1, 999))
def test_ranges_are_slices(
    tmp_path_factory: pytest.TempPathFactory, start: int, end: int | None, chunk: int
) -> None:
    blobs = LocalBlobs(tmp_path_factory.getbasetemp() / "ranged")
    blobs.put_stream([CONTENT])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", chunk)
        assert b"".join(blobs.open(SHA256, start, end)) == CONTENT[start:end]


def test_writers_of_the_same_content_do_not_disturb_each_other(blobs: LocalBlobs) -> None:
    def put(_: int) -> str:
        return blobs.put_stream(CONTENT[i : i + 64] for i in range(0, len(CONTENT), 64)).sha256

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(put, range(40))) == {SHA256}
    assert files_in(blobs) == [SHA256]
    assert blobs.verify(SHA256)


def test_a_wrong_hash_leaves_nothing_behind(blobs: LocalBlobs) -> None:
    with pytest.raises(HashMismatch):
        blobs.put_stream([CONTENT], expected="0" * 64)
    assert files_in(blobs) == []


def test_a_broken_stream_leaves_nothing_behind(blobs: LocalBlobs) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT
        raise OSError(errno.ENOSPC, "no space left on device")

    with pytest.raises(NoSpace):
        blobs.put_stream(broken())
    assert files_in(blobs) == []


def test_putting_again_mends_a_damaged_blob(blobs: LocalBlobs) -> None:
    blobs.put_stream([CONTENT])
    path = blobs.path_of(SHA256)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(CONTENT[:-1] + b"!")
    assert not blobs.verify(SHA256)
    blobs.put_stream([CONTENT])
    assert blobs.verify(SHA256)


def test_a_missing_blob_is_reported_immediately(blobs: LocalBlobs) -> None:
    assert blobs.path_of(SHA256) is None
    with pytest.raises(NotFound):
        blobs.open(SHA256)
    with pytest.raises(NotFound):
        blobs.touch(SHA256)
    assert not blobs.discard(SHA256, 0)


def test_only_what_was_stored_and_touched_long_ago_is_discarded(blobs: LocalBlobs) -> None:
    for make_young in (lambda: blobs.put_stream([CONTENT]), lambda: blobs.touch(SHA256)):
        path = blobs.path_of(SHA256)
        if path is not None:
            os.utime(path, (1, 1))
        make_young()
        assert not blobs.discard(SHA256, 60)
        assert list(blobs.aged(60)) == []
    path = blobs.path_of(SHA256)
    assert path is not None
    os.utime(path, (1, 1))
    assert list(blobs.aged(60)) == [(SHA256, len(CONTENT))]
    assert blobs.discard(SHA256, 60) and not blobs.exists(SHA256)


def test_the_url_names_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    made = make_blobs(folder.as_uri())
    assert isinstance(made, LocalBlobs) and made.root == folder
    with pytest.raises(ValueError, match="unsupported"):
        make_blobs("s3://bucket")
