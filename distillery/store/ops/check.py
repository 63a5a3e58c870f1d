"""Checks that storage holds every blob that the database refers to."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store.blobs.blobs import Blobs
from distillery.store.db.database import Database
from distillery.store.db.tables import Blob, blob_references
from distillery.store.errors import StoreError

PAGE = 1000
MAX_OWNERS = 5  # named per table


@dataclass(frozen=True)
class Fault:
    """A blob that does not match its row, and some of the rows that refer to it."""

    sha256: str
    what: str  # missing, of another size, damaged
    owners: tuple[str, ...]

    def __str__(self) -> str:
        return f"blob {self.sha256} is {self.what}: {', '.join(self.owners) or 'unreferenced'}"


def pages(database: Database) -> Iterator[list[tuple[str, int]]]:
    """Yield hash and size of every blob in the database, in pages: no transaction lasts long."""
    after = ""
    while True:
        query = select(Blob.sha256, Blob.size).where(Blob.sha256 > after).order_by(Blob.sha256)
        with database.read() as session:
            rows = [(row.sha256, row.size) for row in session.execute(query.limit(PAGE))]
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        after = rows[-1][0]


def check(database: Database, blobs: Blobs, *, hashes: bool = False) -> Iterator[Fault]:
    """Yield every blob that is missing or of another size; with `hashes` also damaged ones, which
    takes as long as reading them all."""
    for page in pages(database):
        for sha256, size in page:
            what = _fault(blobs, sha256, size, hashes)
            if what is not None:
                with database.read() as session:
                    yield Fault(sha256, what, tuple(owners(session, sha256)))


def _fault(blobs: Blobs, sha256: str, size: int, hashes: bool) -> str | None:
    try:
        if blobs.size(sha256) != size:
            return "of another size"
        return "damaged" if hashes and not blobs.verify(sha256) else None
    except StoreError:
        return "missing"


def owners(s: Session, sha256: str) -> Iterator[str]:
    """Yield ids of some rows that refer to a blob."""
    for column in blob_references():
        row_id = list(column.table.primary_key)[-1]
        yield from s.scalars(select(row_id).where(column == sha256).limit(MAX_OWNERS))
