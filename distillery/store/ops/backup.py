"""Backup and restore of database and blobs.

A backup takes the database first and the blobs after it. Blobs are only ever added before a row
points at them, so blobs copied later hold all that the database points at; the other way round a
job that ends in between would leave a row without its bytes. A restore puts the blobs in place
first, for the same reason.
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
from distillery.store.blobs.disk import sync_folder
from distillery.store.db import schema
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Blob, Job, TeacherOutput, Upload, Worker
from distillery.store.errors import Conflict, NotFound
from distillery.store.jobs.move import cancel, move
from distillery.store.jobs.partial import in_state
from distillery.store.ops.check import pages
from distillery.store.ops.dump import dump, file_name, load, require_none
from distillery.wire.states import State

NOTE = "backup.json"
BLOBS = "blobs"
RESTORED = "restored from a backup; it starts over"


class Note(BaseModel):
    """What a backup says of itself; written last, so that a backup that has one is whole."""

    schema_revision: str
    at: int  # database time
    blobs: int
    bytes: int
    missing: list[str]  # blobs that were deleted, or lost, before they were copied


@dataclass(frozen=True)
class Copied:
    """What was copied, and what was not there."""

    blobs: int
    bytes: int
    missing: list[str]


def back_up(database: Database, blobs: Blobs, folder: Path, *, blobs_only: bool = False) -> Note:
    """Write a backup into `folder`, or bring the one there up to date. The service may run.

    Raises a StoreError, and the backup of before is still there.
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
    note = Note(
        schema_revision=schema.HEAD,
        at=now,
        blobs=copied.blobs,
        bytes=copied.bytes,
        missing=copied.missing,
    )
    if not blobs_only:
        fresh.replace(final)
    written = folder / f"{NOTE}.new"
    written.write_text(note.model_dump_json(indent=1), encoding="utf-8")
    written.replace(folder / NOTE)
    sync_folder(folder)
    return note


def restore(database: Database, blobs: Blobs, folder: Path, *, blobs_only: bool = False) -> Note:
    """Fill an empty database and storage from a backup, and bring the schema up to date.

    Jobs that ran are queued again and start over; uploads under way are closed. Raises Conflict
    where there is a database already, NotFound where there is no whole backup.
    """
    try:
        note = Note.model_validate_json((folder / NOTE).read_bytes())
    except (OSError, ValueError) as error:
        raise NotFound(f"{folder} holds no whole backup: {error}") from error
    if note.schema_revision > schema.HEAD:
        raise Conflict(
            f"the backup is of schema {note.schema_revision}, newer than {schema.HEAD} of this "
            "program: restore it with a newer version"
        )
    if not blobs_only:
        require_none(database)
    source = _blobs_in(folder)
    hashes = (path.name for path in source.root.glob("??/??/*"))
    _copy(hashes, source, blobs)
    if not blobs_only:
        load(database, folder / file_name(database))
    database.migrate()
    with database.write() as session:
        _settle(session)
        _forget_lost_outputs(session, blobs)
    return note


def _blobs_in(folder: Path) -> LocalBlobs:
    return LocalBlobs(folder / BLOBS)


def _copy(hashes: Iterable[str], source: Blobs, target: Blobs) -> Copied:
    """Copy what is not there yet; every hash is verified on the way. Raises HashMismatch."""
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


def _settle(s: Session) -> None:
    """What was under way when the backup was made does not go on by itself in another place."""
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


def _forget_lost_outputs(s: Session, blobs: Blobs) -> None:
    """Teachers' outputs are a cache: those whose bytes were deleted meanwhile are made anew."""
    for output in s.scalars(select(TeacherOutput)).all():
        if blobs.exists(output.blob):
            continue
        s.delete(output)
        s.flush()
        with suppress(IntegrityError), s.begin_nested():  # something else has the same bytes
            s.execute(delete(Blob).where(Blob.sha256 == output.blob))
