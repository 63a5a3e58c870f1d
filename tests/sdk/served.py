"""The real API on a real socket and an empty database, without a worker behind it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from distillery.api.config import ApiSettings
from distillery.api.main import create_app
from distillery.sdk.client import Client
from distillery.store.config import StoreSettings
from distillery.store.db.database import Database


@contextmanager
def serve_api(home: Path) -> Iterator[str]:
    """The URL of an API on `home` while it runs; the local user needs no key."""
    stored = StoreSettings(home=home)
    home.mkdir(parents=True, exist_ok=True)
    database = Database(stored.database)
    database.migrate()
    database.dispose()
    app = create_app(
        ApiSettings(local_user=True), stored, notify=lambda _: None, notifications_waiting=lambda: 0
    )
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of `api_url`."""
    return tmp_path_factory.mktemp("api") / "home"


@pytest.fixture(scope="module")
def api_url(home: Path) -> Iterator[str]:
    """One API per test file."""
    with serve_api(home) as url:
        yield url


@pytest.fixture
def client(api_url: str) -> Iterator[Client]:
    """A client of `api_url`."""
    with Client(api_url) as client:
        yield client
