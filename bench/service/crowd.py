"""Two hundred people at once: who look at jobs every two seconds, and who follow them live.

Raw sockets in one event loop, so that the crowd takes little from the machine it shares with the
service.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil
from pydantic import BaseModel, ConfigDict

from bench.service.wire import Latency, Wire, cpu_s, latency

PEOPLE = 200
POLL_S = 2.0  # as our API advises
CROWD_S = 20.0
TIMEOUT_S = 60.0


class Crowd(BaseModel):
    """How long answers (or events) took to arrive, and what share of one core it cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: int
    delay: Latency
    cores: float


@dataclass
class _Desk:
    """What the whole crowd writes down."""

    times_ms: list[float] = field(default_factory=list)


def pollers(
    wire: Wire, server: psutil.Process, requests: Sequence[tuple[str, str, bytes]]
) -> Crowd:
    """Everybody asks one of the requests (method, path, body) every two seconds. Where an answer
    has an ETag, the next request names it."""
    desk = _Desk()
    before_s, begun_s = cpu_s(server), time.perf_counter()

    async def everybody() -> None:
        people = [
            _poll(desk, wire, requests[n % len(requests)], random.random() * POLL_S)
            for n in range(PEOPLE)
        ]
        await asyncio.gather(*people)

    asyncio.run(everybody())
    used = (cpu_s(server) - before_s) / (time.perf_counter() - begun_s)
    return Crowd(people=PEOPLE, delay=latency(desk.times_ms), cores=round(used, 2))


async def _poll(desk: _Desk, wire: Wire, request: tuple[str, str, bytes], wait_s: float) -> None:
    reader, writer = await asyncio.open_connection(wire.host, wire.port)
    method, path, body = request
    etag = ""
    over_s = time.perf_counter() + CROWD_S
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
        desk.times_ms.append((time.perf_counter() - begun_s) * 1e3)
        next_s += POLL_S
    writer.close()


def followers(
    wire: Wire, server: psutil.Process, paths: Sequence[str], say: Callable[[], None]
) -> Crowd:
    """Everybody follows one of the event streams, while `say` (in a thread of its own, once a
    second) makes every job say what time it is: `t=...` in the event's data."""
    desk = _Desk()
    over = threading.Event()

    def speak() -> None:
        while not over.wait(1.0):
            say()

    async def everybody() -> tuple[float, float]:
        streams = [
            asyncio.create_task(_follow(desk, wire, paths[n % len(paths)])) for n in range(PEOPLE)
        ]
        await asyncio.sleep(5.0)  # to arrive
        desk.times_ms.clear()
        before_s, begun_s = cpu_s(server), time.perf_counter()
        await asyncio.sleep(CROWD_S)
        used_s, took_s = cpu_s(server) - before_s, time.perf_counter() - begun_s
        for stream in streams:
            assert not stream.done(), stream.exception()
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
        return used_s, took_s

    speaker = threading.Thread(target=speak, name="speaker")
    speaker.start()
    try:
        used_s, took_s = asyncio.run(everybody())
    finally:
        over.set()
        speaker.join()
    return Crowd(people=PEOPLE, delay=latency(desk.times_ms), cores=round(used_s / took_s, 2))


async def _follow(desk: _Desk, wire: Wire, path: str) -> None:
    reader, writer = await asyncio.open_connection(wire.host, wire.port)
    writer.write(_head(wire, "GET", path, b"", {"Accept": "text/event-stream"}))
    status, _ = await _answer_head(reader)
    assert status == 200, (path, status)
    try:
        while line := await reader.readline():
            if line.startswith(b"data:") and b"t=" in line:
                said_s = float(line.split(b"t=", 1)[1].split(b'"', 1)[0])
                desk.times_ms.append((time.time() - said_s) * 1e3)
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
