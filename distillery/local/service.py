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
HURRY_S = 10.0
TICK_S = 0.3
SOON_S = 10.0  # a child that lives shorter than this died "at once"
STRIKES = 5
LONGEST_WAIT_S = 10.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})  # only there the user needs no key

PrintFn = Callable[[str], None]


class LocalService:
    """`start` it, use `url`, `stop` it; as a context manager it does both.

    A child that dies is started again after a growing pause. One that keeps dying at once ends
    the service: `failure` then says why, and `on_failure` is called from another thread.
    """

    def __init__(
        self, home: Path, *, host: str, port: int, say: PrintFn, on_failure: Callable[[], None]
    ):
        self.home = home.absolute()
        self.failure: ClientError | None = None
        self._host = host
        self._port = port
        self._say = say
        self._on_failure = on_failure
        self._children: list[ChildProcess] = []
        self._strikes: dict[str, int] = {}
        self._lock: HomeLock | None = None
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    @property
    def url(self) -> str:
        """Where the service is, for this machine."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "") else self._host  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    @property
    def logs(self) -> Path:
        """The folder of the children's logs."""
        return self.home / "logs"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Migrate the database, start all children, return when the service is ready."""
        self._lock = HomeLock(self.home)
        try:
            self._port = _free_port(self._host, self._port)
            self._lock.note(self.url)
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
        """Stop the worker (which checkpoints), then the rest. A second Ctrl-C leaves no time for
        checkpoints, a third kills them."""
        self._stopping.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        try:
            for group in (["worker", "reaper"], ["api"]):
                children = [child for child in self._children if child.name in group]
                try:
                    _end(children, STOP_S)
                except KeyboardInterrupt:
                    self._say("Stopping at once, without a checkpoint.")
                    _end(children, HURRY_S)
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
            raise _died(child, "The database could not be brought up to date.")

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
                            f"The service did not get ready within {READY_S:.0f} s: {error}",
                            hint=f"Its logs are in {self.logs}",
                        ) from error
                time.sleep(0.1)

    def _supervise(self) -> None:
        restart_at_s: dict[str, float] = {}
        while not self._stopping.wait(TICK_S):
            for child in self._children:
                for line in child.new_lines():
                    if _is_alarming(line):
                        self._say(f"[{child.name}] {line}")
                child.bound_log()
                if child.poll() is None:
                    continue
                if child.name not in restart_at_s:
                    wait_s = self._strike(child)
                    if self.failure:
                        return
                    restart_at_s[child.name] = time.monotonic() + wait_s
                elif time.monotonic() >= restart_at_s[child.name]:
                    del restart_at_s[child.name]
                    child.start()

    def _strike(self, child: ChildProcess) -> float:
        """Count a death; returns the seconds to wait before the next start."""
        lived_s = time.monotonic() - child.started_s
        strikes = self._strikes.get(child.name, 0) + 1 if lived_s < SOON_S else 1
        self._strikes[child.name] = strikes
        if strikes >= STRIKES:
            self.failure = _died(child, f"The {child.name} keeps dying at once.")
            self._on_failure()
            return 0.0
        wait_s = float(min(0.5 * 2 ** (strikes - 1), LONGEST_WAIT_S))
        last = " ".join(child.last_lines(1))
        self._say(f"The {child.name} ended ({_how(child.poll())}); again in {wait_s:.1f} s. {last}")
        return wait_s


def _free_port(host: str, port: int) -> int:
    """`port` if it can be had, any free one for 0. Raises UsageMistake when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageMistake(
                f"Cannot listen on {host} port {port}: {error.strerror}.",
                hint="Choose another with --port, or any free one with --port 0.",
            ) from error
        return int(probe.getsockname()[1])


def _end(children: list[ChildProcess], within_s: float) -> None:
    for child in children:
        child.terminate()
    deadline_s = time.monotonic() + within_s
    for child in children:
        if child.pid is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.1, deadline_s - time.monotonic()))


def _died(child: ChildProcess, message: str) -> ClientError:
    lines = "\n".join(f"  {line}" for line in child.last_lines(15))
    return ClientError(f"{message} Its last words:\n{lines}", hint=f"The whole log: {child.log}")


def _how(code: int | None) -> str:
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _is_alarming(line: str) -> bool:
    return any(word in line for word in (" ERROR ", " CRITICAL ", '"level": "ERROR"'))
