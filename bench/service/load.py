"""Simulates 200 concurrent clients that poll jobs every two seconds, or follow their events.

Uses raw sockets in one event loop, so that the clients take little CPU time from the service on the
same machine.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence

import psutil
from pydantic import BaseModel, ConfigDict

from bench.service.wire import Latency, Wire, cpu_s, latency

CLIENTS = 200
POLL_S = 2.0  # the interval that our API advises
LOAD_S = 20.0
TIMEOUT_S = 60.0


class ClientLoad(BaseModel):
    """The delay of responses or events for `people` clients, and the CPU cores that they cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: int
    delay: Latency
    cores: float


def pollers(
    wire: Wire, server: psutil.Process, requests: Sequence[tuple[str, str, bytes]]
) -> ClientLoad:
    """Measure clients that each repeat one of the requests (method, path, body) every two seconds.

    If a response has an ETag, the next request sends it.
    """
    times_ms: list[float] = []
    before_s, begun_s = cpu_s(server), time.perf_counter()

    async def poll_all() -> None:
        clients = [
            _poll(times_ms, wire, requests[n % len(requests)], random.random() * POLL_S)
            for n in range(CLIENTS)
        ]
        await asyncio.gather(*clients)

    asyncio.run(poll_all())
    used = (cpu_s(server) - before_s) / (time.perf_counter() - begun_s)
    return ClientLoad(people=CLIENTS, delay=latency(times_ms), cores=round(used, 2))


async def _poll(
    times_ms: list[float], wire: Wire, request: tuple[str, str, bytes], wait_s: float
) -> None:
    reader, writer = await asyncio.open_connection(wire.host, wire.port)
    method, path, body = request
    etag = ""
    over_s = time.perf_counter() + LOAD_S
    next_s = time.perf_counter() + wait_s
    while next_s < over_s:
        await asyncio.sleep(max(0.0, next_s - time.perf_counter()))
        begun_s = time.perf_counter()
        writer.write(_head(wire, method, path, body, {"If-None-Match": etag} if etag else {}))
        status, headers = await _answer_head(reader)
        assert status < 400, (path, status)
        size = int(headers.get("content-length", "0"))
        if status != 304:
            await reader.readexactly(size)
        etag = headers.get("etag", "")
        times_ms.append((time.perf_counter() - begun_s) * 1e3)
        next_s += POLL_S
    writer.close()


def followers(
    wire: Wire, server: psutil.Process, paths: Sequence[str], emit: Callable[[], None]
) -> ClientLoad:
    """Measure clients that each follow one of the event streams.

    `emit` is called once a second, in a thread; it must append an event to every job with the
    current time, as `t=...`, in its data.
    """
    times_ms: list[float] = []
    over = threading.Event()

    def emit_until_over() -> None:
        while not over.wait(1.0):
            emit()

    async def follow_all() -> tuple[float, float]:
        streams = [
            asyncio.create_task(_follow(times_ms, wire, paths[n % len(paths)]))
            for n in range(CLIENTS)
        ]
        await asyncio.sleep(5.0)  # until all are connected
        times_ms.clear()
        before_s, begun_s = cpu_s(server), time.perf_counter()
        await asyncio.sleep(LOAD_S)
        used_s, took_s = cpu_s(server) - before_s, time.perf_counter() - begun_s
        for stream in streams:
            assert not stream.done(), stream.exception()
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        return used_s, took_s

    emitter = threading.Thread(target=emit_until_over, name="emitter")
    emitter.start()
    try:
        used_s, took_s = asyncio.run(follow_all())
    finally:
        over.set()
        emitter.join()
    return ClientLoad(people=CLIENTS, delay=latency(times_ms), cores=round(used_s / took_s, 2))


async def _follow(times_ms: list[float], wire: Wire, path: str) -> None:
    reader, writer = await asyncio.open_connection(wire.host, wire.port)
    writer.write(_head(wire, "GET", path, b"", {"Accept": "text/event-stream"}))
    status, _ = await _answer_head(reader)
    assert status == 200, (path, status)
    try:
        while line := await reader.readline():
            if line.startswith(b"data:") and b"t=" in line:
                emitted_s = float(line.split(b"t=", 1)[1].split(b'"', 1)[0])
                times_ms.append((time.time() - emitted_s) * 1e3)
    finally:
        writer.close()
    raise AssertionError(f"{path} ended")


def _head(wire: Wire, method: str, path: str, body: bytes, more: dict[str, str]) -> bytes:
    given = {"Host": f"{wire.host}:{wire.port}", **wire.headers, **more}
    if body:
        given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _answer_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT_S)
    first, *lines = raw.decode("latin-1").strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), {name.lower(): value for name, value in headers.items()}
