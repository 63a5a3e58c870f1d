"""Uploads: any order, again and again, and never a wrong byte."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import update

from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.catalog import uploads
from distillery.store.config import DAY_S
from distillery.store.db.database import Database
from distillery.store.db.tables import Upload
from distillery.store.errors import Conflict, Invalid, NoSpace, NotFound
from distillery.store.ops.retention import uploads as retention_uploads
from tests.store.makers import TENANT

CONTENT = b"abcdefghij" * 5
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PART = 16
real_part_size = uploads._part_size


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_part_size", lambda _: PART)


def create(
    database: Database, parts: UploadParts, sha256: str | None = None, tenant: str = TENANT
) -> Upload:
    with database.write() as s:
        return uploads.create(s, parts, tenant, size=len(CONTENT), sha256=sha256, filename="x.npz")


def send(database: Database, parts: UploadParts, upload: Upload, number: int, body: bytes) -> None:
    with database.read() as s:
        slot = uploads.slot(s, TENANT, upload.id, number)
    with parts.receive(slot) as part:
        for i in range(0, len(body), 5):
            part.write(body[i : i + 5])
        with database.write() as s:
            uploads.save_part(s, parts, TENANT, part)


def send_all(database: Database, parts: UploadParts, upload: Upload) -> None:
    for number in (4, 2, 1, 3):
        send(database, parts, upload, number, piece(number))


def piece(number: int) -> bytes:
    return CONTENT[(number - 1) * PART : number * PART]


def leftovers(parts: UploadParts) -> list[Path]:
    return [path for path in parts.root.rglob("*") if path.is_file()]


def test_parts_in_any_order_become_one_blob(
    database: Database, parts: UploadParts, blobs: LocalBlobs
) -> None:
    upload = create(database, parts, SHA256)
    send_all(database, parts, upload)
    done = uploads.complete(database, parts, blobs, TENANT, upload.id, SHA256)
    assert (done.state, done.blob) == ("complete", SHA256)
    assert b"".join(blobs.open(SHA256)) == CONTENT
    assert leftovers(parts) == []
    again = uploads.complete(database, parts, blobs, TENANT, upload.id)
    assert again.blob == SHA256
    with pytest.raises(Conflict, match="complete"):
        send(database, parts, upload, 1, piece(1))


def test_known_content_needs_no_bytes_but_only_within_the_tenant(
    database: Database, parts: UploadParts, blobs: LocalBlobs
) -> None:
    upload = create(database, parts)
    send_all(database, parts, upload)
    uploads.complete(database, parts, blobs, TENANT, upload.id)
    assert create(database, parts, SHA256).state == "complete"
    assert create(database, parts, SHA256, tenant="other").state == "open"


def test_a_part_sent_again_replaces_the_first(
    database: Database, parts: UploadParts, blobs: LocalBlobs
) -> None:
    upload = create(database, parts, SHA256)
    send_all(database, parts, upload)
    send(database, parts, upload, 2, b"?" * PART)
    with pytest.raises(Invalid) as caught:
        uploads.complete(database, parts, blobs, TENANT, upload.id)
    assert caught.value.code == "hash_mismatch"
    assert "still open" in caught.value.message
    assert not blobs.exists(SHA256)
    send(database, parts, upload, 2, piece(2))
    assert uploads.complete(database, parts, blobs, TENANT, upload.id).blob == SHA256


def test_a_hash_other_than_announced_is_refused(
    database: Database, parts: UploadParts, blobs: LocalBlobs
) -> None:
    upload = create(database, parts, SHA256)
    send_all(database, parts, upload)
    with pytest.raises(Invalid) as caught:
        uploads.complete(database, parts, blobs, TENANT, upload.id, "0" * 64)
    assert (caught.value.code, caught.value.pointer) == ("hash_mismatch", "/sha256")
    uploads.complete(database, parts, blobs, TENANT, upload.id)
    with pytest.raises(Invalid):
        uploads.complete(database, parts, blobs, TENANT, upload.id, "0" * 64)


@pytest.mark.parametrize(("number", "size"), [(1, PART - 1), (1, PART + 1), (4, PART), (4, 1)])
def test_a_part_of_the_wrong_size_is_refused_and_gone(
    database: Database, parts: UploadParts, number: int, size: int
) -> None:
    upload = create(database, parts)
    with pytest.raises(Invalid) as caught:
        send(database, parts, upload, number, b"x" * size)
    assert caught.value.code == "part_size"
    assert leftovers(parts) == []
    with database.read() as s:
        assert uploads.parts_of(s, upload.id) == []


@pytest.mark.parametrize("number", [0, 5, -1])
def test_only_real_part_numbers_are_taken(
    database: Database, parts: UploadParts, number: int
) -> None:
    upload = create(database, parts)
    with database.read() as s, pytest.raises(Invalid) as caught:
        uploads.slot(s, TENANT, upload.id, number)
    assert caught.value.code == "part_number"


def test_missing_parts_are_listed(
    database: Database, parts: UploadParts, blobs: LocalBlobs
) -> None:
    upload = create(database, parts)
    send(database, parts, upload, 2, piece(2))
    with pytest.raises(Conflict, match=r"parts 1, 3, 4 are missing") as caught:
        uploads.complete(database, parts, blobs, TENANT, upload.id)
    assert caught.value.code == "parts_missing"


def test_a_foreign_upload_is_a_missing_one(
    database: Database, parts: UploadParts, blobs: LocalBlobs
) -> None:
    upload = create(database, parts)
    with database.read() as s, pytest.raises(NotFound):
        uploads.get(s, "other", upload.id)
    with pytest.raises(NotFound):
        uploads.complete(database, parts, blobs, "other", upload.id)


def test_abort_and_expiry_drop_the_parts(database: Database, parts: UploadParts) -> None:
    aborted, old, fresh = (create(database, parts) for _ in range(3))
    for upload in (aborted, old, fresh):
        send(database, parts, upload, 1, piece(1))
    with database.write() as s:
        assert uploads.abort(s, parts, TENANT, aborted.id).state == "aborted"
        assert uploads.abort(s, parts, TENANT, aborted.id).state == "aborted"
        s.execute(update(Upload).where(Upload.id == old.id).values(expires_at=1))
        gone, more = retention_uploads.collect(s, parts, None, 30 * DAY_S)
        assert (gone.count, more) == (2, False), "it is closed, and its row is old"
    assert {path.parent.name for path in leftovers(parts)} == {fresh.id}
    with pytest.raises(Conflict, match="aborted"):
        send(database, parts, aborted, 1, piece(1))


def test_a_full_disk_refuses_before_taking_a_byte(database: Database, tmp_path: Path) -> None:
    full = UploadParts(tmp_path / "full", min_free_bytes=2**60)
    with pytest.raises(NoSpace) as caught:
        create(database, full)
    assert caught.value.code == "no_space"


def test_too_large_is_refused(database: Database, parts: UploadParts) -> None:
    with database.write() as s, pytest.raises(Invalid) as caught:
        uploads.create(s, parts, TENANT, size=2**41, sha256=None, filename=None)
    assert (caught.value.code, caught.value.pointer) == ("too_large", "/size")


def test_a_huge_file_has_a_bounded_number_of_parts() -> None:
    for size in (1, 2**30, 2**40):
        upload = Upload(size=size, part_size=real_part_size(size))
        assert 1 <= uploads.part_count(upload) <= uploads.MAX_PARTS
        assert upload.part_size % 2**20 == 0


def test_completing_twice_at_once_gives_one_blob(
    database: Database, parts: UploadParts, blobs: LocalBlobs
) -> None:
    upload = create(database, parts, SHA256)
    send_all(database, parts, upload)

    def finish(_: int) -> str | None:
        try:
            return uploads.complete(database, parts, blobs, TENANT, upload.id).blob
        except Conflict:
            return None

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(finish, range(4))) <= {SHA256, None}
    with database.read() as s:
        assert uploads.get(s, TENANT, upload.id).blob == SHA256


def test_a_part_that_arrives_while_completing_wins_nothing(
    database: Database, parts: UploadParts, blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The joined bytes are kept only if no part changed since they were read."""
    upload = create(database, parts)
    send_all(database, parts, upload)
    join = uploads._join

    def slow_join(*arguments: object) -> object:
        stored = join(*arguments)  # type: ignore[arg-type]
        send(database, parts, upload, 1, b"?" * PART)
        return stored

    monkeypatch.setattr(uploads, "_join", slow_join)
    with pytest.raises(Conflict, match="parts changed"):
        uploads.complete(database, parts, blobs, TENANT, upload.id)
    with database.read() as s:
        assert uploads.get(s, TENANT, upload.id).state == "open"


@pytest.mark.parametrize("announced", [None, SHA256])
@pytest.mark.parametrize("damage", ["other bytes", "gone"])
def test_a_part_damaged_on_disk_is_reported(
    database: Database,
    parts: UploadParts,
    blobs: LocalBlobs,
    damage: str,
    announced: str | None,
) -> None:
    """Also what a crash between the rename and the commit leaves."""
    upload = create(database, parts, announced)
    send_all(database, parts, upload)
    path = parts.root / upload.id / "3.part"
    path.unlink() if damage == "gone" else path.write_bytes(b"?" * PART)
    with pytest.raises(Conflict, match="part 3") as caught:
        uploads.complete(database, parts, blobs, TENANT, upload.id)
    assert caught.value.code == "part_damaged"
    assert [path for path in blobs.root.rglob("*") if path.is_file()] == []
    send(database, parts, upload, 3, piece(3))
    assert uploads.complete(database, parts, blobs, TENANT, upload.id).blob == SHA256
