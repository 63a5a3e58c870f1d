"""The report of a run: all measurements, as JSON and as Markdown tables."""

from collections.abc import Iterator, Mapping
from datetime import date

from pydantic import BaseModel, ConfigDict

from bench.machine import Machine, sentence
from bench.service.load import ClientLoad
from bench.service.wire import Latency

Requests = dict[str, Latency]


class Size(BaseModel):
    """Our service with `jobs` jobs in its database."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: int
    requests: Requests


class Ours(BaseModel):
    """Our service on one database and broker.

    `memory_mib`: memory of the API, at rest and after all requests, and of the worker and the
    reaper at rest. `torch_in_api` must be false.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str
    broker: str
    sizes: list[Size]
    rates: dict[str, float]
    memory_mib: dict[str, float]
    torch_in_api: bool
    pollers: ClientLoad
    followers: ClientLoad
    start: Requests


class Peer(BaseModel):
    """A peer, measured in the same run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    requests: Requests
    rates: dict[str, float]
    pollers: ClientLoad | None = None


class Report(BaseModel):
    """The result of `python -m bench.service`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: date
    machine: Machine
    ours: list[Ours]
    peers: dict[str, Peer]


def lines(report: Report) -> Iterator[str]:
    """The lines of the report in Markdown."""
    yield f"# The control plane, {report.date}"
    yield ""
    yield f"On {sentence(report.machine)}."
    yield ""
    yield "Times as a client measures them over one persistent connection. CPU: the time that a"
    yield "request takes of the server's processes, hardly affected by other work on the machine."
    yield "1 kB: 1000 bytes."
    for ours in report.ours:
        for size in ours.sizes:
            yield from _section(
                f"Ours on {ours.database}, {size.jobs:,} jobs", _requests(size.requests)
            )
        yield from _section(f"Ours on {ours.database} and {ours.broker}", _rest(ours))
    for name, peer in report.peers.items():
        yield from _section(f"{name} {peer.version}", _requests(peer.requests))
        yield ""
        rates = [*peer.rates.items(), *_load("200 clients polling every 2 s", peer.pollers)]
        yield from (f"- {what}: {value}" for what, value in rates)


def _section(title: str, rows: Iterator[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield from rows


def _requests(requests: Mapping[str, Latency]) -> Iterator[str]:
    yield "| | p50 ms | p95 ms | kB | CPU ms |"
    yield "|---|---|---|---|---|"
    for name, one in requests.items():
        rest = " | ".join("" if x is None else f"{x:.1f}" for x in (one.kb, one.cpu_ms))
        yield f"| {name} | {one.p50_ms:.1f} | {one.p95_ms:.1f} | {rest} |"


def _rest(ours: Ours) -> Iterator[str]:
    yield from _requests(ours.start)
    yield ""
    yield from (f"- {what}: {value:,.0f}" for what, value in ours.rates.items())
    yield from (f"- memory, {what}: {value:.0f} MiB" for what, value in ours.memory_mib.items())
    yield f"- torch in the API: {'yes' if ours.torch_in_api else 'no'}"
    for what, load in (
        ("200 clients polling every 2 s", ours.pollers),
        ("200 clients following events", ours.followers),
    ):
        yield from (f"- {name}: {value}" for name, value in _load(what, load))


def _load(what: str, load: ClientLoad | None) -> Iterator[tuple[str, str]]:
    if load is not None:
        p50_ms, p95_ms = load.delay.p50_ms, load.delay.p95_ms
        yield what, f"p50 {p50_ms:.1f} ms, p95 {p95_ms:.1f} ms, {load.cores:.2f} cores"
