"""Running the API: refuse an open door without keys, bind, say where, serve."""

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
LOOK_S = 2.0  # between two looks for a database that is away


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the address."""
        await super().startup(sockets)
        if self.started and sockets:
            sys.stdout.write(f"Distillery listens on {address(sockets[0])}\n")
            sys.stdout.flush()


def address(listening: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def objection(settings: ApiSettings, store: StoreSettings) -> str | None:
    """Why the API must not start, or None. Raises Unavailable."""
    if settings.local_user and not settings.on_loopback():
        return (
            f"KD_LOCAL_USER lets everybody in, and {settings.host} is not loopback: "
            "unset one of them"
        )
    database = Database(store.database)
    try:
        database.check_schema()
        with database.read() as session:
            if settings.on_loopback() or keys.exist(session):
                return None
    except SchemaMismatch as error:
        return str(error)
    finally:
        database.dispose()
    return (
        f"{settings.host} is not loopback and there are no API keys: make one with "
        "`python -m distillery.store keys create --name NAME --scopes read,write,admin`, or bind "
        "127.0.0.1"
    )


def _objection_in_time(settings: ApiSettings, store: StoreSettings) -> str | None:
    """The objection, once the database answers; until then says why nothing else happens."""
    while True:
        try:
            return objection(settings, store)
        except Unavailable as error:
            sys.stderr.write(f"Distillery waits for its database: {error.reason}\n")
            sys.stderr.flush()
        time.sleep(LOOK_S)


def serve(settings: ApiSettings, store: StoreSettings) -> int:
    """Serve until told to stop; the exit code."""
    store.home.mkdir(parents=True, exist_ok=True)
    why = _objection_in_time(settings, store)
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
        log_config=None,  # ours
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nobody may claim another's address
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    gc.collect()
    gc.freeze()  # what start-up made stays: walking it again and again costs every 20th answer
    server.run(sockets=[config.bind_socket()])
    return 0 if server.started else 1
