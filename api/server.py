"""Runs the API: refuses to be reachable without keys, binds, prints the address, serves."""

import gc
import socket
import sys
import time

import uvicorn

from distillery.api.config import ApiSettings
from distillery.api.main import create_app
from distillery.store import keys
from distillery.store.config import StoreSettings
from distillery.store.db.database import Database
from distillery.store.db.schema import SchemaMismatch
from distillery.store.errors import Unavailable
from distillery.telemetry import logs, traces
from distillery.telemetry.config import TelemetrySettings

REFUSED = 2
RETRY_S = 2.0  # between two tries to reach the database


class _Server(uvicorn.Server):
    """Prints its address once it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the address."""
        await super().startup(sockets)
        if self.started and sockets:
            sys.stdout.write(f"Distillery listens on {address(sockets[0])}\n")
            sys.stdout.flush()


def address(listening: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def startup_error(settings: ApiSettings, store: StoreSettings) -> str | None:
    """Return why the API must not start, or None. Raises Unavailable."""
    if settings.local_user and not settings.on_loopback():
        return (
            f"KD_LOCAL_USER accepts requests without a key, and {settings.host} is not loopback: "
            "unset one of them"
        )
    database = Database(store.database)
    try:
        database.check_schema()
        with database.read() as session:
            if settings.on_loopback() or keys.any_usable(session):
                return None
    except SchemaMismatch as error:
        return str(error)
    finally:
        database.dispose()
    return (
        f"{settings.host} is not loopback and there are no API keys: create one with "
        "`python -m distillery.store keys create --name NAME --scopes read,write,admin`, or listen "
        "on 127.0.0.1"
    )


def _wait_for_startup_error(settings: ApiSettings, store: StoreSettings) -> str | None:
    """Wait for the database, logging why, and return `startup_error`."""
    while True:
        try:
            return startup_error(settings, store)
        except Unavailable as error:
            sys.stderr.write(f"Distillery waits for its database: {error.reason}\n")
            sys.stderr.flush()
        time.sleep(RETRY_S)


def serve(settings: ApiSettings, store: StoreSettings) -> int:
    """Serve until a signal; return the exit code."""
    store.home.mkdir(parents=True, exist_ok=True)
    why = _wait_for_startup_error(settings, store)
    if why is not None:
        sys.stderr.write(f"Distillery does not start: {why}\n")
        return REFUSED
    telemetry = TelemetrySettings()
    logs.set_up(telemetry)
    traces.set_up("distillery-api", telemetry)
    config = uvicorn.Config(
        create_app(settings, store),
        host=settings.host,
        port=settings.port,
        log_config=None,  # set up above
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # they could forge the caller's address
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    gc.collect()
    gc.freeze()  # objects of the start-up stay: collecting them would delay every 20th response
    server.run(sockets=[config.bind_socket()])
    return 0 if server.started else 1
