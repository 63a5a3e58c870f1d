"""Measures our service, one function per group of figures."""

import itertools
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from bench.seeds import EVENTS as SEEN
from bench.seeds import RUNNING, SERIES, TENANT, Seeds, job_id, spec_of
from bench.service.load import CLIENTS, ClientLoad, followers, pollers
from bench.service.service import Service, wait_until
from bench.service.wire import Latency, Wire, clocked, latency
from distillery.cli.digits import write_digits
from distillery.sdk.client import Client
from distillery.store import jobs
from distillery.store.db import cursors
from distillery.store.jobs import events
from distillery.wire.states import State
from distillery.worker.recorder import Recorder
from kdcore.spec.events import LogEvent, MetricsEvent

EVENTS = 20_000
_numbers = itertools.count()


def requests(service: Service, seeds: Seeds, count: int) -> dict[str, Latency]:
    """Measure every kind of request that clients make, by name."""
    wire = service.wire()
    newest = f"/v1/jobs/{seeds.newest}"
    deep = cursors.encode(job_id(seeds.jobs // 10))
    best_deep = cursors.encode(0.05, job_id(seeds.jobs // 2))
    curve = f"{newest}/metrics?keys={SERIES[0]}"
    paths = {
        "list 100": "/v1/jobs?limit=100",
        "list 100, deep page": f"/v1/jobs?limit=100&after={deep}",
        "list 100 by state": "/v1/jobs?limit=100&state=succeeded",
        "list 100 ordered by a metric": "/v1/jobs?limit=100&order=gain",
        "list 100 ordered by a metric, deep page": (
            f"/v1/jobs?limit=100&order=gain&after={best_deep}"
        ),
        "show": newest,
        "metric history, 500 of the points": f"{curve}&max_points=500",
        "metric history, every point": f"{curve}&max_points=5000",
        "metric history, four curves": f"{newest}/metrics",
        "events, 100": f"{newest}/events",
    }
    api = service.process("api")
    found = {name: clocked(partial(wire.get, path), count, api) for name, path in paths.items()}
    for name in ("show", "list 100"):
        headers = {"If-None-Match": wire.get(paths[name]).headers["etag"]}
        assert wire.get(paths[name], headers).status == 304
        again = partial(wire.get, paths[name], headers)
        found[f"{name}, unchanged (304)"] = clocked(again, count, api)
    found["create"] = clocked(lambda: create(wire), count, api)
    wire.close()
    return found


def create(wire: Wire, spec: dict[str, Any] | None = None) -> Any:
    """Submit a job with an idempotency key."""
    key = {"Idempotency-Key": f"bench-{next(_numbers)}"}
    return wire.ask("POST", "/v1/jobs", spec or spec_of(), key)


def ingest(service: Service) -> dict[str, float]:
    """Measure the events and metric points per second that move from a run's file to the database.

    Lines are parsed and checked, and written in the worker's batches.
    """
    with service.database.write() as session:
        claim = jobs.claim(session, job_id(1), "bench", 3600)
    assert claim is not None
    with tempfile.TemporaryDirectory() as folder:
        with Path(folder, "events.jsonl").open("w", encoding="utf-8") as file:
            for n in range(1, EVENTS + 1):
                values = dict.fromkeys(SERIES, 1 / n)
                event = MetricsEvent(seq=n, at=time.time(), step=n, values=values)
                file.write(event.model_dump_json() + "\n")

        def append(batch: list[Any]) -> None:
            with service.database.write() as session:
                events.append(session, claim, batch)

        recorder = Recorder(Path(folder))
        begun_s = time.perf_counter()
        while recorder.drain(append):
            pass
        took_s = time.perf_counter() - begun_s
    with service.database.write() as session:
        jobs.release(session, claim, State.CANCELLED, "measured")
    return {
        "events a second": round(EVENTS / took_s),
        "metric points a second": round(EVENTS * len(SERIES) / took_s),
    }


def until_running(service: Service, repeats: int) -> dict[str, Latency]:
    """Measure the times from the request until the job is `running`, and until its first step.

    Jobs are submitted one after another to one idle worker.
    """
    wire = service.wire()
    with tempfile.TemporaryDirectory() as folder, Client(service.url, service.key) as client:
        file = write_digits(Path(folder) / "digits.npz")
        dataset = client.datasets.push(file)
    spec = {
        "student": {"architecture": "resnet8", "options": {"width": 0.25}},
        "dataset": dataset.id,
        "stages": [{"epochs": 50, "objectives": [{"method": "hard_target"}]}],
    }
    running_ms: list[float] = []
    step_ms: list[float] = []
    for _ in range(repeats + 1):
        time.sleep(0.5 + 0.0937 * (len(step_ms) % 7))  # not in step with the worker's heartbeat
        begun_s = time.perf_counter()
        path = f"/v1/jobs/{create(wire, spec).json()['id']}"
        _poll_until(wire, path, lambda job: job["state"] == "running")
        running_ms.append((time.perf_counter() - begun_s) * 1e3)
        _poll_until(wire, path, lambda job: (job["progress"] or {}).get("step", 0) > 0)
        step_ms.append((time.perf_counter() - begun_s) * 1e3)
        wire.ask("POST", f"{path}/cancel")
        _poll_until(wire, path, lambda job: job["terminal"])
    wire.close()
    # The first is not counted; it warms up the worker.
    return {"submit until running": latency(running_ms[1:])} | {
        "submit until the first step is seen": latency(step_ms[1:])
    }


def _poll_until(wire: Wire, path: str, holds: Any) -> None:
    wait_until(lambda: holds(wire.get(path).json()), 60, f"{path} is as expected", 0.004)


def poll(service: Service, seeds: Seeds) -> ClientLoad:
    """Measure clients that poll the running jobs and the newest finished ones."""
    paths = [f"/v1/jobs/{job_id(seeds.jobs - 1 - n)}" for n in range(CLIENTS)]
    requests = [("GET", path, b"") for path in paths]
    return pollers(service.wire(), service.process("api"), requests)


def follow(service: Service, seeds: Seeds) -> ClientLoad:
    """Measure clients that follow the running jobs, ten clients per job."""
    numbers = range(seeds.jobs - RUNNING, seeds.jobs)
    ids = [job_id(number) for number in numbers]
    claims = [jobs.Claim(i, TENANT, "distill", 1, None, None) for i in ids]
    seqs = itertools.count(EVENTS + 1)

    def emit() -> None:
        seq = next(seqs)
        for claim in claims:
            with service.database.write() as session:
                now_s = time.time()
                line = LogEvent(seq=seq, at=now_s, level="info", message=f"t={now_s}")
                events.append(session, claim, [line])

    paths = [f"/v1/jobs/{i}/events?after={SEEN}" for i in ids]
    return followers(service.wire(), service.process("api"), paths, emit)
