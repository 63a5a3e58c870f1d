"""Bytes that nothing names: a row goes where no foreign key points at it, then its bytes.

Safe beside uploads and jobs that are just bringing bytes in. They put them, then name them in a
transaction; both make the blob young again (`Blobs.put_*`, `touch`; `blobs.record`, which locks the
row). Here a row goes only while it is old and unnamed, in one statement, and bytes only while they
are old and have no row: whoever puts them in between makes them young, under the storage's lock.
"""

import logging
from collections.abc import Sequence
from itertools import islice

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from distillery.store.blobs.blobs import Blobs, Stored
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Blob, Table
from distillery.store.ops.retention.usage import MS_PER_S, Usage, usage

logger = logging.getLogger(__name__)
ROWS = 200
FEW = 100


def count(s: Session, blobs: Blobs, keep_s: float) -> Usage:
    """What would go: rows that nothing names, and bytes without a row."""
    number, size = s.execute(
        select(func.count(), func.coalesce(func.sum(Blob.size), 0)).where(*_unnamed(s, keep_s))
    ).one()
    strays, _ = _strays(s, blobs, keep_s)
    return Usage("blobs", number, int(size)) + usage("blobs", (stray.size for stray in strays))


def unnamed(s: Session, keep_s: float, after: str) -> tuple[list[Stored], str | None]:
    """Of the next ROWS blobs behind `after` those that are old and that nothing names, and where to
    go on, none at the end."""
    page = select(Blob.sha256).where(Blob.sha256 > after).order_by(Blob.sha256).limit(ROWS)
    seen: Sequence[str] = s.scalars(page).all()
    old = select(Blob.sha256, Blob.size).where(Blob.sha256.in_(seen), *_unnamed(s, keep_s))
    candidates = [Stored(*row) for row in s.execute(old).all()]
    return candidates, seen[-1] if len(seen) == ROWS else None


def drop_rows(s: Session, candidates: Sequence[Stored], keep_s: float) -> list[Stored]:
    """Delete their rows, but for those that somebody names or made young again meanwhile. The bytes
    of those that went are to be discarded after the commit."""
    return [stored for stored in candidates if _drop(s, stored.sha256, keep_s)]


def _drop(s: Session, sha256: str, keep_s: float) -> bool:
    # Never waits for a row while it holds others: who brings several blobs in might hold that one
    # and wait for one of these. A row that is locked is being named, so it stays.
    free = select(Blob.sha256).where(Blob.sha256 == sha256).with_for_update(skip_locked=True)
    if s.scalar(free) is None:
        return False
    try:
        with s.begin_nested():
            query = delete(Blob).where(Blob.sha256 == sha256, *_unnamed(s, keep_s))
            return s.scalar(query.returning(Blob.sha256)) is not None
    except IntegrityError:
        return False


def discard_strays(database: Database, blobs: Blobs, keep_s: float) -> Usage:
    """Discard bytes that are old and have no row: what was brought in and never named.

    Crashes leave few of those. Where most of what there is has no row, the database is another
    one's, or an old backup's: nothing is touched.
    """
    with database.read() as s:
        strays, total = _strays(s, blobs, keep_s)
    if len(strays) > max(FEW, total // 2):
        logger.error(
            "%s of %s blobs are not in the database: is it the right one? They are left alone",
            len(strays),
            total,
        )
        return Usage("blobs")
    gone = (stray.size for stray in strays if blobs.discard(stray.sha256, keep_s))
    return usage("blobs", gone)


def _strays(s: Session, blobs: Blobs, keep_s: float) -> tuple[list[Stored], int]:
    """Old bytes without a row, and how many are old in all."""
    strays: list[Stored] = []
    total = 0
    old = blobs.aged(keep_s)
    while page := list(islice(old, ROWS)):
        total += len(page)
        names = [stored.sha256 for stored in page]
        known = set(s.scalars(select(Blob.sha256).where(Blob.sha256.in_(names))))
        strays += [stored for stored in page if stored.sha256 not in known]
    return strays, total


def _unnamed(s: Session, keep_s: float) -> list[ColumnElement[bool]]:
    before = db_now(s) - int(keep_s * MS_PER_S)
    return [Blob.created_at < before, *(~exists().where(column == Blob.sha256) for column in NAMES)]


def _names() -> list[ColumnElement[str]]:
    """Every column that names a blob."""
    keys = (key for table in Table.metadata.sorted_tables for key in table.foreign_keys)
    return [key.parent for key in keys if key.column is Blob.__table__.c.sha256]


NAMES = _names()
