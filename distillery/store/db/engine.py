"""Connects to each kind of database and translates its errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.engine import URL

from distillery.store.db.pg_deadline import DeadlineConnection
from distillery.store.errors import Invalid, NoSpace, Unavailable
from distillery.wire.request_codes import RequestCode

BUSY_TIMEOUT_MS = 15_000  # longer than the 10 s for which another process may hold the lock
TIMEOUT_S = 15.0
_CONNECT_TIMEOUT_S = 5


def make_engine(url: str, timeout_s: float | None = TIMEOUT_S) -> Engine:
    """Make an engine for `sqlite:///PATH` or `postgresql://...`. Raises ValueError for others.

    `timeout_s`: of each statement on PostgreSQL; None: no limit.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed.set(drivername="postgresql+psycopg"), timeout_s)
    kind = parsed.get_backend_name()
    raise ValueError(f"unsupported database {kind!r}: use sqlite or postgresql")


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ValueError("SQLite needs a file, because several processes share the database")
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
    connection.isolation_level = None  # _begin_sqlite issues BEGIN
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",  # an accepted request survives a power failure
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later can fail with "locked" without waiting. Taking
    # the write lock at the beginning makes writers queue.
    write = connection.get_execution_options().get("kd_write", True)
    connection.exec_driver_sql(f"PRAGMA query_only = {0 if write else 1}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _postgresql(url: URL, timeout_s: float | None) -> Engine:
    # The server cancels a late statement; if it cannot be reached, the client gives up.
    server_ms = 0 if timeout_s is None else int(timeout_s * 1000)
    engine = create_engine(
        url,
        json_serializer=_dump_json,
        json_deserializer=from_json,
        pool_size=10,
        max_overflow=10,
        pool_timeout=_CONNECT_TIMEOUT_S,
        pool_pre_ping=True,  # a restarted server must not cause errors
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_S,
            # For a peer that vanished without closing, such as a machine that lost power.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": f"-c statement_timeout={server_ms}",
        },
    )

    def connect(_: Any, __: Any, arguments: Any, settings: Any) -> DeadlineConnection:
        connection = DeadlineConnection.connect(*arguments, **settings)
        connection.timeout_s = None if timeout_s is None else timeout_s + 1
        return connection

    event.listen(engine, "do_connect", connect)
    return engine


def _dump_json(value: Any) -> str:
    # NaN is not JSON, and PostgreSQL refuses it.
    return to_json(value, inf_nan_mode="null").decode()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate the driver's errors to `Unavailable`, `NoSpace` or `Invalid`."""
    try:
        yield
    except exc.DataError as error:
        raise Invalid(
            "a value does not fit into the database", code=RequestCode.BAD_VALUE
        ) from error
    except (exc.OperationalError, exc.InterfaceError) as error:
        if _is_bug(error.orig):
            raise
        if _is_full(error.orig):
            raise NoSpace("the database's disk is full") from error
        raise Unavailable("the database does not answer") from error
    except exc.TimeoutError as error:
        raise Unavailable("every database connection is busy") from error


def _is_bug(error: BaseException | None) -> bool:
    """Whether a statement is wrong or writes in a reading session, which SQLite reports alike."""
    return getattr(error, "sqlite_errorname", None) in ("SQLITE_ERROR", "SQLITE_READONLY")


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, psycopg.errors.DiskFull) or (
        getattr(error, "sqlite_errorname", None) == "SQLITE_FULL"
    )
