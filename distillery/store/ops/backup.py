"""Backs up and restores the database and the blobs.

A backup copies the database first and the blobs after it. A blob is always stored before a row
refers to it, so the later copy holds every blob that the database refers to; in the other order, a
job that ends in between would leave a row without its blob. A restore copies the blobs first, for
the same reason.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from distillery.store.blobs.blobs import Blobs, LocalBlobs
from distillery.store.blobs.disk import replace_durably, sync_file, translate_disk_errors
from distillery.store.db import schema
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Blob, Job, TeacherOutput, Upload, Worker
from distillery.store.errors import Conflict, NotFound
from distillery.store.jobs.move import cancel, move
from distillery.store.jobs.partial import in_state
from distillery.store.ops.check import pages
from distillery.store.ops.dump import dump, file_name, load, require_empty
from distillery.wire.states import State

MANIFEST = "backup.json"
BLOBS = "blobs"
RESTORED = "restored from a backup; it starts over"


class Manifest(BaseModel):
    """Describes a backup; written last, so that a backup that has one is complete."""

    schema_revision: str
    at: int  # database time
    blobs: int
    bytes: int
    missing: list[str]  # blobs that were deleted or lost before they were copied


@dataclass(frozen=True)
class Copied:
    """What was copied, and what was missing."""

    blobs: int
    bytes: int
    missing: list[str]


def back_up(
    database: Database, blobs: Blobs, folder: Path, *, blobs_only: bool = False
) -> Manifest:
    """Write a backup into `folder`, or update the one there. The service may be running.

    Raises a StoreError, after which an earlier backup is still there.
    """
    database.check_schema()
    folder.mkdir(parents=True, exist_ok=True)
    with database.read() as session:
        now = db_now(session)
    final = folder / file_name(database)
    fresh = final.with_suffix(".new")
    if not blobs_only:
        dump(database, fresh)
    copied = _copy((sha for page in pages(database) for sha, _ in page), blobs, _blobs_in(folder))
    manifest = Manifest(
        schema_revision=schema.HEAD,
        at=now,
        blobs=copied.blobs,
        bytes=copied.bytes,
        missing=copied.missing,
    )
    if not blobs_only:
        replace_durably(fresh, final)
    written = folder / f"{MANIFEST}.new"
    with translate_disk_errors():
        written.write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        sync_file(written)
    replace_durably(written, folder / MANIFEST)
    return manifest


def restore(
    database: Database, blobs: Blobs, folder: Path, *, blobs_only: bool = False
) -> Manifest:
    """Fill an empty database and storage from a backup, and migrate the schema.

    Running jobs are queued again and start over; open uploads are closed. Raises Conflict if there
    is a database already, NotFound if there is no complete backup.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise NotFound(f"{folder} holds no complete backup: {error}") from error
    if manifest.schema_revision > schema.HEAD:
        raise Conflict(
            f"the backup has schema {manifest.schema_revision}, but this version only knows "
            f"{schema.HEAD}: restore it with a newer version"
        )
    if not blobs_only:
        require_empty(database)
    source = _blobs_in(folder)
    hashes = (path.name for path in source.root.glob("??/??/*"))
    _copy(hashes, source, blobs)
    if not blobs_only:
        load(database, folder / file_name(database))
    database.migrate()
    with database.write() as session:
        _end_unfinished_work(session)
        _delete_lost_outputs(session, blobs)
    return manifest


def _blobs_in(folder: Path) -> LocalBlobs:
    return LocalBlobs(folder / BLOBS)


def _copy(hashes: Iterable[str], source: Blobs, target: Blobs) -> Copied:
    """Copy blobs that the target lacks, verifying every hash. Raises HashMismatch."""
    count = size = 0
    missing: list[str] = []
    for sha256 in hashes:
        if not target.exists(sha256):
            try:
                target.put_stream(source.open(sha256), expected=sha256)
            except NotFound:
                missing.append(sha256)
                continue
        count += 1
        size += target.size(sha256)
    return Copied(count, size, missing)


def _end_unfinished_work(s: Session) -> None:
    """Requeue jobs and close uploads that were under way when the backup was made."""
    now = db_now(s)
    s.execute(delete(Worker))
    s.execute(
        update(Upload)
        .where(Upload.state == "open")
        .values(state="expired", version=Upload.version + 1)
    )
    for job in s.scalars(select(Job).where(in_state(State.RUNNING), Job.lease_until > 0)).all():
        if job.request == "cancel":
            cancel(s, job, now, "cancelled on request, before a backup")
        else:
            target = State.PAUSED if job.request == "pause" else State.QUEUED
            move(s, job, target, RESTORED, now)


def _delete_lost_outputs(s: Session, blobs: Blobs) -> None:
    """Delete teacher outputs, which are a cache, whose blobs were deleted during the backup."""
    for output in s.scalars(select(TeacherOutput)).all():
        if blobs.exists(output.blob):
            continue
        s.delete(output)
        s.flush()
        with suppress(IntegrityError), s.begin_nested():  # other rows refer to the blob
            s.execute(delete(Blob).where(Blob.sha256 == output.blob))
