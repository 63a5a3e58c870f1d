"""A database, SQLite or PostgreSQL: sessions to read and write, and the database's time."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from distillery.store.db import schema
from distillery.store.db.engine import BUSY_TIMEOUT_MS, TIMEOUT_S, make_engine, translate_errors
from distillery.store.errors import Unavailable

_NOW = {
    "sqlite": text("SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"),
    "postgresql": text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"),
}


class Database:
    """Opens sessions. Raises `Unavailable` or `NoSpace` if the database does not respond.

    `timeout_s` bounds each statement on PostgreSQL; None: no bound.
    """

    def __init__(self, url: str, timeout_s: float | None = TIMEOUT_S):
        self.url = url
        self.engine = make_engine(url, timeout_s)
        reading = self.engine.execution_options(kd_write=False, postgresql_readonly=True)
        self._lock = Lock()
        self._read = sessionmaker(reading, expire_on_commit=False)
        self._write = sessionmaker(self.engine, expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that cannot write; rows stay usable after it."""
        with translate_errors(), self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed at the end of the block, rolled back when it raises.

        SQLite: takes the write lock with the first statement and waits up to 15 s for it.
        """
        with self._writer_turn(), translate_errors(), self._write.begin() as session:
            yield session

    @contextmanager
    def _writer_turn(self) -> Iterator[None]:
        """Queue this process's writers on SQLite, which has one at a time.

        SQLite itself waits by sleeping and retrying, which is neither fair nor cheap.
        """
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
        """Raise `Unavailable` unless the database responds."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def migrate(self) -> None:
        """Migrate the schema to this program's version; several processes may do so at a time."""
        unbounded = make_engine(self.url, timeout_s=None)
        try:
            with translate_errors():
                schema.migrate(unbounded)
        finally:
            unbounded.dispose()

    def check_schema(self) -> None:
        """Raise `schema.SchemaMismatch`, with the command to run, unless the versions match."""
        with translate_errors():
            schema.check(self.engine)

    def dispose(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def db_now(session: Session) -> int:
    """Return milliseconds since 1970 by the database's clock, the only one used for leases."""
    return int(session.scalar(_NOW[session.get_bind().dialect.name]) or 0)
