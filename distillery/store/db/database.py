"""One database, SQLite or PostgreSQL: sessions for reading and writing, and database time."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from distillery.store.db import schema
from distillery.store.db.engine import ANSWER_S, BUSY_TIMEOUT_MS, make_engine, translated
from distillery.store.errors import Unavailable

_NOW = {
    "sqlite": text("SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"),
    "postgresql": text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"),
}


class Database:
    """Opens sessions. Raises `Unavailable` (or `NoSpace`) where the database does not answer.

    `answer_s` bounds each statement on PostgreSQL; none: no bound.
    """

    def __init__(self, url: str, answer_s: float | None = ANSWER_S):
        self.url = url
        self.engine = make_engine(url, answer_s)
        reading = self.engine.execution_options(kd_write=False, postgresql_readonly=True)
        self._lock = Lock()
        self._read = sessionmaker(reading, expire_on_commit=False)
        self._write = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that cannot write; rows stay usable after it."""
        with translated(), self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed at the end of the block, rolled back when it raises.

        SQLite: takes the write lock with the first statement and waits up to 15 s for it.
        """
        with self._turn(), translated(), self._write.begin() as session:
            yield session

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """SQLite has one writer: our own threads queue here, where waiting is fair and cheap;
        its own way to wait is to sleep and try again."""
        if self.engine.dialect.name != "sqlite":
            yield
            return
        if not self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise Unavailable("the database is busy")
        try:
            yield
        finally:
            self._lock.release()

    def ping(self) -> None:
        """Raises `Unavailable` unless the database answers."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def migrate(self) -> None:
        """Bring the schema to this program's version; safe from several processes at once."""
        patient = make_engine(self.url, answer_s=None)
        try:
            with translated():
                schema.migrate(patient)
        finally:
            patient.dispose()

    def check_schema(self) -> None:
        """Raises `schema.SchemaMismatch`, naming the command to run, unless versions match."""
        with translated():
            schema.check(self.engine)

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def db_now(session: Session) -> int:
    """Milliseconds since 1970 by the database's clock: the only clock leases go by."""
    return int(session.scalar(_NOW[session.get_bind().dialect.name]) or 0)
