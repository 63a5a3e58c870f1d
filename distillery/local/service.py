"""Runs the whole service on this machine: API, worker and reaper as child processes."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from distillery.local.home_lock import HomeLock
from distillery.local.process import ChildProcess
from distillery.sdk.client import Client
from distillery.sdk.config import child_environment
from distillery.sdk.errors import ClientError, Unreachable, UsageMistake

READY_S = 90.0
STOP_S = 60.0
ABORT_S = 10.0
TICK_S = 0.3
EARLY_EXIT_S = 10.0  # a child that exits sooner than this after its start has failed to start
MAX_EARLY_EXITS = 5
MAX_BACKOFF_S = 10.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})  # keys are optional on these hosts alone

MessageFn = Callable[[str], None]


class LocalService:
    """Starts and supervises the service; a context manager that stops it at the end.

    A child that exits is restarted with exponential backoff. After MAX_EARLY_EXITS early exits in a
    row the service gives up: `failure` holds the reason, and `on_failure` is called from the
    supervisor thread. Lines for the user go to `on_message`.
    """

    def __init__(
        self,
        home: Path,
        *,
        host: str,
        port: int,
        on_message: MessageFn,
        on_failure: Callable[[], None],
    ):
        self.home = home.absolute()
        self.failure: ClientError | None = None
        self._host = host
        self._port = port
        self._on_message = on_message
        self._on_failure = on_failure
        self._children: list[ChildProcess] = []
        self._early_exits: dict[str, int] = {}
        self._lock: HomeLock | None = None
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    @property
    def url(self) -> str:
        """The service's URL as seen from this machine."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "") else self._host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    @property
    def logs(self) -> Path:
        """The directory of the children's logs."""
        return self.home / "logs"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Migrate the database, start all children and wait until the service is ready."""
        self._lock = HomeLock(self.home)
        try:
            self._port = _free_port(self._host, self._port)
            self._lock.write_holder(self.url)
            self._migrate()
            for name, args in (
                ("api", ("distillery.api",)),
                ("worker", ("distillery.worker", "jobs")),
                ("reaper", ("distillery.worker", "reaper")),
            ):
                child = self._child(name, *args)
                self._children.append(child)
                child.start()
            self._supervisor.start()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the worker, which checkpoints, then the API. A second Ctrl-C skips checkpoints, a
        third kills everything."""
        self._stopping.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        try:
            for group in (["worker", "reaper"], ["api"]):
                children = [child for child in self._children if child.name in group]
                try:
                    _terminate(children, STOP_S)
                except KeyboardInterrupt:
                    self._on_message("Stopping now, without a checkpoint.")
                    _terminate(children, ABORT_S)
        finally:
            for child in self._children:
                child.kill()
            self._children.clear()
            if self._lock:
                self._lock.release()
                self._lock = None

    def _child(self, name: str, *args: str) -> ChildProcess:
        assert self._lock is not None
        environment = child_environment(
            KD_HOME=str(self.home),
            KD_HOST=self._host,
            KD_PORT=str(self._port),
            KD_LOCAL_USER="true" if self._host in LOOPBACK else "false",
        )
        return ChildProcess(
            name,
            ["-m", *args],
            self.logs / f"{name}.log",
            environment=environment,
            keep_open=(self._lock.fd,),
        )

    def _migrate(self) -> None:
        child = self._child("migrate", "distillery.store", "migrate")
        child.start()
        if child.wait() != 0:
            raise _child_error(child, "The database could not be migrated.")

    def _wait_until_ready(self) -> None:
        deadline_s = time.monotonic() + READY_S
        with Client(self.url, patience_s=0) as client:
            while True:
                if self.failure:
                    raise self.failure
                try:
                    if client.ready().ok:
                        return
                except ClientError as error:
                    if time.monotonic() > deadline_s:
                        raise Unreachable(
                            f"The service was not ready after {READY_S:.0f} s: {error}",
                            hint=f"Logs: {self.logs}",
                        ) from error
                time.sleep(0.1)

    def _supervise(self) -> None:
        restart_at_s: dict[str, float] = {}
        while not self._stopping.wait(TICK_S):
            for child in self._children:
                for line in child.new_lines():
                    if _is_error(line):
                        self._on_message(f"[{child.name}] {line}")
                child.rotate_log()
                if child.poll() is None:
                    continue
                if child.name not in restart_at_s:
                    wait_s = self._note_exit(child)
                    if self.failure:
                        return
                    restart_at_s[child.name] = time.monotonic() + wait_s
                elif time.monotonic() >= restart_at_s[child.name]:
                    del restart_at_s[child.name]
                    child.start()

    def _note_exit(self, child: ChildProcess) -> float:
        """Count an exit; returns the seconds to wait before the restart."""
        lived_s = time.monotonic() - child.started_s
        exits = self._early_exits.get(child.name, 0) + 1 if lived_s < EARLY_EXIT_S else 1
        self._early_exits[child.name] = exits
        if exits >= MAX_EARLY_EXITS:
            message = f"The {child.name} exits immediately after each start."
            self.failure = _child_error(child, message)
            self._on_failure()
            return 0.0
        wait_s = float(min(0.5 * 2 ** (exits - 1), MAX_BACKOFF_S))
        last = " ".join(child.last_lines(1))
        how = _describe_exit(child.poll())
        self._on_message(f"The {child.name} exited ({how}); restarting in {wait_s:.1f} s. {last}")
        return wait_s


def _free_port(host: str, port: int) -> int:
    """Return `port`, or any free port for 0. Raises UsageMistake when it is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageMistake(
                f"Cannot listen on {host} port {port}: {error.strerror}.",
                hint="Choose another port with --port, or any free one with --port 0.",
            ) from error
        return int(probe.getsockname()[1])


def _terminate(children: list[ChildProcess], within_s: float) -> None:
    for child in children:
        child.terminate()
    deadline_s = time.monotonic() + within_s
    for child in children:
        if child.pid is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.1, deadline_s - time.monotonic()))


def _child_error(child: ChildProcess, message: str) -> ClientError:
    lines = "\n".join(f"  {line}" for line in child.last_lines(15))
    return ClientError(f"{message} Last log lines:\n{lines}", hint=f"Full log: {child.log}")


def _describe_exit(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _is_error(line: str) -> bool:
    return any(word in line for word in (" ERROR ", " CRITICAL ", '"level": "ERROR"'))
