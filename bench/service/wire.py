"""Sends HTTP/1.1 requests over one persistent connection and times them, alike for all peers."""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

import psutil
from pydantic import BaseModel, ConfigDict

TIMEOUT_S = 120.0
WARM_UP = 5  # requests that are not counted


class Latency(BaseModel):
    """Percentiles of `count` measurements.

    `kb`: the size of the last body in units of 1000 bytes. `cpu_ms`: the CPU time that one request
    takes of the server's processes, nearly independent of other work on the machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    p50_ms: float
    p95_ms: float
    kb: float | None = None
    cpu_ms: float | None = None


def latency(times_ms: list[float], size: int | None = None) -> Latency:
    """Compute the percentiles of at least two measurements."""
    return Latency(
        count=len(times_ms),
        p50_ms=round(median(times_ms), 2),
        p95_ms=round(quantiles(times_ms, n=20, method="inclusive")[-1], 2),
        kb=None if size is None else round(size / 1000, 1),
    )


@dataclass(frozen=True)
class Answer:
    """The response to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)


class Wire:
    """One connection to `url`, with `headers` on every request."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None):
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.host, self.port = parts.hostname, parts.port or 80
        self.headers = dict(headers or {})
        self._connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request. Raises AssertionError if it is refused."""
        given = self.headers | dict(headers or {})
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            given["Content-Type"] = "application/json"
        self._connection.request(method, path, content, given)
        answer = self._connection.getresponse()
        read = answer.read()
        assert answer.status < 400, f"{method} {path}: {answer.status} {read[:300]!r}"
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, read)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a GET request."""
        return self.ask("GET", path, headers=headers)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def clocked(ask: Callable[[], Answer], count: int, server: psutil.Process | None = None) -> Latency:
    """Time `count` calls of `ask` after a warm-up, and the CPU time they take of `server`."""
    for _ in range(min(WARM_UP, count // 2)):
        ask()
    times_ms = []
    size = 0
    before_s = 0.0 if server is None else cpu_s(server)
    for _ in range(count):
        begun_s = time.perf_counter()
        size = len(ask().body)
        times_ms.append((time.perf_counter() - begun_s) * 1e3)
    found = latency(times_ms, size)
    if server is None:
        return found
    return found.model_copy(update={"cpu_ms": round((cpu_s(server) - before_s) / count * 1e3, 2)})


def cpu_s(server: psutil.Process) -> float:
    """CPU time in seconds that a process and its descendants have used."""
    total = 0.0
    for process in (server, *server.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
