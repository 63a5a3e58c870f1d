"""The real processes of a service on a free port, each of which a test may stop or kill."""

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from distillery.local.process import ChildProcess
from distillery.sdk.client import Client
from distillery.sdk.config import child_environment
from distillery.sdk.errors import ClientError
from distillery.sdk.job import Job
from distillery.store.db.database import Database
from distillery.wire import jobs as wire

# Leases are short enough to detect a lost worker in seconds, and long enough for a commit that a
# slow disk delays: a worker stops its run after half a lease. One thread makes runs bit-exact.
# Processes are not warmed up for later jobs, which most tests do not have.
QUICK = {
    "KD_LEASE_S": "12",
    "KD_HEARTBEAT_S": "1",
    "KD_TICK_S": "0.2",
    "KD_POLL_S": "0.3",
    "KD_REAPER_S": "0.5",
    "KD_STREAM_POLL_S": "0.1",
    "KD_THREADS": "1",
    "KD_WARM": "false",
    "KD_LOCAL_USER": "true",
    "OMP_NUM_THREADS": "1",
}
POLL_S = 0.25  # most conditions are requests, whose answers would take the cores from the runs
PROGRAMS = {
    "api": ["distillery.api"],
    "jobs": ["distillery.worker", "jobs"],
    "reaper": ["distillery.worker", "reaper"],
}


class Service:
    """API, worker and reaper on `home`, as a context manager; keyword arguments are settings."""

    def __init__(self, home: Path, **settings: str):
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.client = Client(f"http://127.0.0.1:{self.port}")
        self._environment = child_environment(
            KD_HOME=str(home), KD_PORT=str(self.port), **{**QUICK, **settings}
        )
        self._children = {
            name: ChildProcess(
                name, ["-m", *args], home / f"{name}.log", environment=self._environment
            )
            for name, args in PROGRAMS.items()
        }

    def __enter__(self) -> Self:
        self._migrate()
        try:
            for name in PROGRAMS:
                self.start(name)
            wait_until(self._ready, 60, "the service is ready")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        if error is not None:
            for child in self._children.values():
                sys.stderr.write("\n".join([f"--- {child.name}", *child.last_lines(40), ""]))

    def start(self, name: str) -> None:
        """Start one of api, jobs, reaper."""
        self._children[name].start()

    def process(self, name: str) -> psutil.Process:
        """The process of one of api, jobs, reaper."""
        pid = self._children[name].pid
        assert pid is not None
        return psutil.Process(pid)

    def kill(self, name: str) -> None:
        """Send SIGKILL to one of them."""
        self._children[name].kill()

    def runs(self) -> list[psutil.Process]:
        """The worker's kdcore processes."""
        children = self.process("jobs").children(recursive=True)
        return [child for child in children if "kdcore" in _words(child)]

    def _migrate(self) -> None:
        """As `python -m distillery.store migrate`, without a process of its own."""
        self.home.mkdir(parents=True, exist_ok=True)
        embedded = f"sqlite:///{self.home / 'distillery.sqlite'}"
        database = Database(self._environment.get("KD_DATABASE_URL", embedded), timeout_s=None)
        database.migrate()
        database.dispose()

    def _stop(self) -> None:
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            if child.pid is not None:
                child.wait(30)
        self.client.close()

    def _ready(self) -> bool:
        for child in self._children.values():
            assert child.poll() is None, f"{child.name} died: {child.last_lines(10)}"
        try:
            return self.client.ready().ok
        except ClientError:
            return False


def _words(process: psutil.Process) -> list[str]:
    """The command line of a process; empty once it has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # raised for a zombie, too
        return []


def wait_until(holds: Callable[[], object], within_s: float, what: str) -> None:
    """Return as soon as the condition holds. Raises AssertionError with `what` after `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what}"
        time.sleep(POLL_S)


def finish(client: Client, job: wire.Job, within_s: float = 120) -> Job:
    """Wait until the job has ended in any way; returns it."""
    wait_until(lambda: client.jobs.get(job.id).terminal, within_s, f"{job.name} ends")
    return client.jobs.get(job.id)


def lives(process: psutil.Process) -> bool:
    """Whether the process is running; a zombie is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
