"""How each kind of database is connected to, and what its errors mean to us."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine import URL

from distillery.store.db.pg_deadline import Bounded
from distillery.store.errors import Invalid, NoSpace, Unavailable
from distillery.wire.request_codes import RequestCode

BUSY_TIMEOUT_MS = 15_000  # longer than the 10 s for which a neighbour may hold the lock
ANSWER_S = 15.0
_CONNECT_TIMEOUT_S = 5


def make_engine(url: str, answer_s: float | None = ANSWER_S) -> Engine:
    """An engine for `sqlite:///PATH` or `postgresql://...`. Raises ValueError for others.

    `answer_s`: the longest that PostgreSQL may take over one statement; none: as long as it likes.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed.set(drivername="postgresql+psycopg"), answer_s)
    raise ValueError(f"unsupported database {parsed.get_backend_name()!r}: sqlite or postgresql")


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ValueError("SQLite needs a file: several processes share it")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        json_serializer=_dump_json,
        json_deserializer=from_json,
        pool_size=10,
        max_overflow=20,
        pool_timeout=_CONNECT_TIMEOUT_S,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_sqlite
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",  # an accepted request survives a power cut
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail with "locked" without any waiting;
    # taking the write lock at once makes writers queue.
    write = connection.get_execution_options().get("kd_write", True)
    connection.exec_driver_sql(f"PRAGMA query_only = {0 if write else 1}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _postgresql(url: URL, answer_s: float | None) -> Engine:
    # The server gives a statement up by itself; where it cannot be reached, the client does.
    server_ms = 0 if answer_s is None else int(answer_s * 1000)
    engine = create_engine(
        url,
        json_serializer=_dump_json,
        json_deserializer=from_json,
        pool_size=10,
        max_overflow=10,
        pool_timeout=_CONNECT_TIMEOUT_S,
        pool_pre_ping=True,  # a server that was restarted costs nobody an error
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_S,
            # A peer that is gone without a word, as a machine that lost its power is.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": f"-c statement_timeout={server_ms}",
        },
    )

    def connect(_: Any, __: Any, arguments: Any, settings: Any) -> Bounded:
        connection = Bounded.connect(*arguments, **settings)
        connection.answer_s = None if answer_s is None else answer_s + 1
        return connection

    event.listen(engine, "do_connect", connect)
    return engine


def _dump_json(value: Any) -> str:
    # NaN is no JSON, and PostgreSQL refuses it.
    return to_json(value, inf_nan_mode="null").decode()


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into the store's: `Unavailable`, `NoSpace`, `Invalid`."""
    try:
        yield
    except exc.DataError as error:
        raise Invalid(
            "a value does not fit into the database", code=RequestCode.BAD_VALUE
        ) from error
    except (exc.OperationalError, exc.InterfaceError) as error:
        if _is_ours(error.orig):
            raise
        if _is_full(error.orig):
            raise NoSpace("the database's disk is full") from error
        raise Unavailable("the database does not answer") from error
    except exc.TimeoutError as error:
        raise Unavailable("every database connection is busy") from error


def _is_ours(error: BaseException | None) -> bool:
    """A wrong statement, or a write in a reading session: SQLite's class for it is the same."""
    return getattr(error, "sqlite_errorname", None) in ("SQLITE_ERROR", "SQLITE_READONLY")


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, psycopg.errors.DiskFull) or (
        getattr(error, "sqlite_errorname", None) == "SQLITE_FULL"
    )
