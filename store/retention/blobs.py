"""Bytes that nothing names: a row goes where no foreign key points at it, then its bytes.

Safe beside uploads and jobs that are just bringing bytes in. They put them, then name them in a
transaction; both make the blob young again (`Blobs.put_*`, `touch`; `blobs.record`, which locks the
row). Here a row goes only while it is old and unnamed, in one statement, and bytes only while they
are old and have no row: whoever puts them in between makes them young, under the storage's lock.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from store.blobs import Blobs, Stored
from store.db import Database, db_now
from store.retention.found import MS_PER_S, Found, found
from store.tables import Blob, Table

ROWS = 200


def count(s: Session, blobs: Blobs, keep_s: float) -> Found:
    """What would go: rows that nothing names, and bytes without a row."""
    number, size = s.execute(
        select(func.count(), func.coalesce(func.sum(Blob.size), 0)).where(*_unnamed(s, keep_s))
    ).one()
    strays = [stored.size for stored in blobs.aged(keep_s) if s.get(Blob, stored.sha256) is None]
    return Found("blobs", number, int(size)) + found("blobs", strays)


def drop_rows(s: Session, keep_s: float, after: str) -> tuple[list[Stored], str | None]:
    """Delete rows of the next ROWS blobs behind `after` that nothing names: those that went, and
    where to go on, none at the end. Their bytes are to be discarded after the commit."""
    page = select(Blob.sha256).where(Blob.sha256 > after).order_by(Blob.sha256).limit(ROWS)
    seen: Sequence[str] = s.scalars(page).all()
    old = select(Blob.sha256, Blob.size).where(Blob.sha256.in_(seen), *_unnamed(s, keep_s))
    gone = [Stored(*row) for row in s.execute(old).all() if _drop(s, row.sha256, keep_s)]
    return gone, seen[-1] if len(seen) == ROWS else None


def _drop(s: Session, sha256: str, keep_s: float) -> bool:
    """Delete a row, unless somebody names it or made it young again meanwhile."""
    try:
        with s.begin_nested():
            query = delete(Blob).where(Blob.sha256 == sha256, *_unnamed(s, keep_s))
            return s.scalar(query.returning(Blob.sha256)) is not None
    except IntegrityError:
        return False


def discard_strays(database: Database, blobs: Blobs, keep_s: float, most: int) -> Found:
    """Discard up to `most` blobs that are old and have no row."""
    sizes: list[int] = []
    for stored in blobs.aged(keep_s):
        if len(sizes) == most:
            break
        with database.read() as s:
            has_row = s.get(Blob, stored.sha256) is not None
        if not has_row and blobs.discard(stored.sha256, keep_s):
            sizes.append(stored.size)
    return found("blobs", sizes)


def _unnamed(s: Session, keep_s: float) -> list[ColumnElement[bool]]:
    before = db_now(s) - int(keep_s * MS_PER_S)
    return [Blob.created_at < before, *(~exists().where(column == Blob.sha256) for column in NAMES)]


def _names() -> list[ColumnElement[str]]:
    """Every column that names a blob."""
    keys = (key for table in Table.metadata.sorted_tables for key in table.foreign_keys)
    return [key.parent for key in keys if key.column is Blob.__table__.c.sha256]


NAMES = _names()
