"""Whether storage holds every blob that the database points at."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from distillery.store.blobs.blobs import Blobs
from distillery.store.db.database import Database
from distillery.store.db.tables import Artifact, Blob, Dataset, Model, TeacherOutput, Upload
from distillery.store.errors import StoreError

PAGE = 1000
_OWNERS: tuple[tuple[InstrumentedAttribute[str], InstrumentedAttribute[str | None]], ...] = (
    (Model.id, Model.blob),
    (Dataset.id, Dataset.blob),
    (Artifact.id, Artifact.sha256),
    (Upload.id, Upload.blob),
    (TeacherOutput.key, TeacherOutput.blob),
)
NAMED = 5  # owners of one blob


@dataclass(frozen=True)
class Fault:
    """A blob that is not as its row says, and some of what points at it."""

    sha256: str
    what: str  # missing, of another size, damaged
    owners: tuple[str, ...]

    def __str__(self) -> str:
        return f"blob {self.sha256} is {self.what}: {', '.join(self.owners) or 'nothing needs it'}"


def pages(database: Database) -> Iterator[list[tuple[str, int]]]:
    """Hash and size of every blob the database knows, in pages: no transaction lasts long."""
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
    """Every blob that is missing or of another size; with `hashes` also those whose bytes changed,
    which takes as long as reading all of them."""
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
    """Ids of some rows that point at a blob."""
    for name, column in _OWNERS:
        yield from s.scalars(select(name).where(column == sha256).limit(NAMED))
