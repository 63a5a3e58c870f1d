"""Runs our service's real processes in a new home, on a database filled in advance."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from bench.seeds import TENANT, Seeds, fill
from bench.service.wire import Wire
from distillery.local.process import ChildProcess
from distillery.sdk.config import child_environment
from distillery.store import keys
from distillery.store.db.database import Database
from distillery.store.jobs import workers

READY_S = 90.0
MIB = 2**20
PROGRAMS = {
    "api": ["distillery.api"],
    "worker": ["distillery.worker", "jobs"],
    "reaper": ["distillery.worker", "reaper"],
}


class Service:
    """The service's processes, started by name, and its open `database`."""

    def __init__(self, home: Path, servers: Mapping[str, str]):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = child_environment(
            KD_HOME=str(home), KD_PORT=str(self.port), KD_LOCAL_USER="false", **servers
        )
        self._children = {
            name: ChildProcess(
                name, ["-m", *args], home / f"{name}.log", environment=self._environment
            )
            for name, args in PROGRAMS.items()
        }
        given = servers.get("KD_DATABASE_URL")
        self.database = Database(given or f"sqlite:///{home / 'distillery.sqlite'}", timeout_s=None)
        subprocess.run(
            [sys.executable, "-m", "distillery.store", "migrate"],
            env=self._environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with self.database.write() as session:
            _, self.key = keys.create(session, TENANT, "bench", ("read", "write"))

    def start(self, *names: str) -> None:
        """Start these programs."""
        for name in names:
            self._children[name].start()

    def wait_until_ready(self) -> None:
        """Wait until the API answers and, if a worker was started, until it is registered."""
        worker = self._children["worker"].pid is not None
        wait_until(lambda: self._is_ready(worker), READY_S, "the service is ready")

    def wire(self) -> Wire:
        """Open a connection that sends the key."""
        return Wire(self.url, {"Authorization": f"Bearer {self.key}"})

    def memory_mib(self, name: str) -> float:
        """Memory of a program and its descendants."""
        return memory_mib(self.process(name))

    def process(self, name: str) -> psutil.Process:
        """The process of a started program."""
        pid = self._children[name].pid
        assert pid is not None
        return psutil.Process(pid)

    def stop(self) -> None:
        """Stop all programs and close the database."""
        for child in self._children.values():
            child.terminate()
        for child in self._children.values():
            if child.pid is not None:
                try:
                    child.wait(30)
                except subprocess.TimeoutExpired:
                    child.kill()
        self.database.dispose()

    def _is_ready(self, worker: bool) -> bool:
        for child in self._children.values():
            assert child.poll() is None, f"{child.name} died: {child.last_lines(10)}"
        try:
            wire = self.wire()
            wire.get("/v1/jobs?limit=1")
            wire.close()
        except OSError:
            return False
        if not worker:
            return True
        with self.database.read() as session:
            return bool(workers.alive(session))


@contextmanager
def service(seeds: Seeds | None, servers: Mapping[str, str]) -> Iterator[Service]:
    """A service on a filled database, empty without seeds; its programs are not started yet."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kd-bench-")))
        opened = Service(home, servers)
        stack.callback(opened.stop)
        if seeds is not None:
            fill(opened.database, seeds)
        yield opened


def memory_mib(process: psutil.Process) -> float:
    """Memory of a process and its descendants in MiB; shared pages are counted once."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return round(total / MIB, 1)


def has_torch(process: psutil.Process) -> bool:
    """Whether a process has loaded PyTorch's library."""
    return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")


def wait_until(
    holds: Callable[[], object], within_s: float, what: str, every_s: float = 0.05
) -> None:
    """Wait until `holds()` is true. Raises AssertionError with `what` after `within_s`."""
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what}"
        time.sleep(every_s)


def quiet_environment() -> dict[str, str]:
    """The environment for programs that would otherwise send telemetry."""
    return {**os.environ, "DO_NOT_TRACK": "true", "RAY_USAGE_STATS_ENABLED": "0"} | {
        "MLFLOW_DISABLE_TELEMETRY": "true"
    }
