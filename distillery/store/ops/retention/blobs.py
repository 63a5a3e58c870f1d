"""Garbage-collects unreferenced blobs: first the row, then the file.

Safe beside uploads and jobs that store blobs. Those store the bytes first and then refer to them in
a transaction, and both steps reset the blob's age (`Blobs.put_stream`, `touch`; `blobs.record`,
which locks the row). Here, one statement deletes a row only while it is old and unreferenced, and a
file is deleted only while it is old and has no row, under the storage's lock.
"""

import logging
from collections.abc import Sequence
from itertools import islice

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from distillery.store.blobs.blobs import Blobs, Stored
from distillery.store.db.database import Database
from distillery.store.db.tables import Blob, blob_references
from distillery.store.ops.retention.usage import Usage, cutoff_ms, usage

logger = logging.getLogger(__name__)
ROWS = 200
FEW_ORPHANS = 100


def count(s: Session, blobs: Blobs, keep_s: float) -> Usage:
    """Return what would be deleted: unreferenced rows, and files without a row."""
    number, size = s.execute(
        select(func.count(), func.coalesce(func.sum(Blob.size), 0)).where(*_unreferenced(s, keep_s))
    ).one()
    orphans, _ = _orphans(s, blobs, keep_s)
    return Usage("blobs", number, int(size)) + usage("blobs", (orphan.size for orphan in orphans))


def unreferenced(s: Session, keep_s: float, after: str) -> tuple[list[Stored], str | None]:
    """Return the old and unreferenced among the next ROWS blobs after `after`, and where to go on;
    None at the end."""
    page = select(Blob.sha256).where(Blob.sha256 > after).order_by(Blob.sha256).limit(ROWS)
    seen: Sequence[str] = s.scalars(page).all()
    old = select(Blob.sha256, Blob.size).where(Blob.sha256.in_(seen), *_unreferenced(s, keep_s))
    candidates = [Stored(*row) for row in s.execute(old).all()]
    return candidates, seen[-1] if len(seen) == ROWS else None


def delete_rows(s: Session, candidates: Sequence[Stored], keep_s: float) -> list[Stored]:
    """Delete the candidates' rows, unless they were referenced or recorded again meanwhile.

    Returns those deleted, whose files are to be discarded after the commit.
    """
    return [stored for stored in candidates if _delete(s, stored.sha256, keep_s)]


def _delete(s: Session, sha256: str, keep_s: float) -> bool:
    # Skips a locked row, which is about to be referenced: waiting for it while holding others could
    # deadlock with a transaction that records several blobs.
    free = select(Blob.sha256).where(Blob.sha256 == sha256).with_for_update(skip_locked=True)
    if s.scalar(free) is None:
        return False
    try:
        with s.begin_nested():
            query = delete(Blob).where(Blob.sha256 == sha256, *_unreferenced(s, keep_s))
            return s.scalar(query.returning(Blob.sha256)) is not None
    except IntegrityError:
        return False


def discard_orphans(database: Database, blobs: Blobs, keep_s: float) -> Usage:
    """Discard old files without a row, which were stored and never referenced.

    Crashes leave few of them. If most files have no row, the database is another one or an old
    backup, and nothing is deleted.
    """
    with database.read() as s:
        orphans, total = _orphans(s, blobs, keep_s)
    if len(orphans) > max(FEW_ORPHANS, total // 2):
        logger.error(
            "%s of %s blobs are not in the database and are left alone: is it the right database?",
            len(orphans),
            total,
        )
        return Usage("blobs")
    deleted = (orphan.size for orphan in orphans if blobs.discard(orphan.sha256, keep_s))
    return usage("blobs", deleted)


def _orphans(s: Session, blobs: Blobs, keep_s: float) -> tuple[list[Stored], int]:
    """Return old files without a row, and the number of all old files."""
    orphans: list[Stored] = []
    total = 0
    old = blobs.aged(keep_s)
    while page := list(islice(old, ROWS)):
        total += len(page)
        names = [stored.sha256 for stored in page]
        known = set(s.scalars(select(Blob.sha256).where(Blob.sha256.in_(names))))
        orphans += [stored for stored in page if stored.sha256 not in known]
    return orphans, total


def _unreferenced(s: Session, keep_s: float) -> list[ColumnElement[bool]]:
    by_none = (~exists().where(column == Blob.sha256) for column in blob_references())
    return [Blob.created_at < cutoff_ms(s, keep_s), *by_none]
