"""Servers of a scenario's own, each behind a proxy, and helpers for the faults on them."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import httpx
import psutil

from distillery.broker.app import make_app
from distillery.broker.config import BrokerSettings
from distillery.broker.depth import notifications_waiting
from distillery.broker.notify import Notifier
from distillery.store.db import tables
from distillery.wire.jobs import Job
from tests.e2e.pictures import training
from tests.e2e.service import wait_until
from tests.faults.proxy import Proxy
from tests.faults.scenario import FaultScenario
from tests.faults.servers import Broker, Postgres, broker, postgres, proxy_for, through

# The default lease: an outage of seconds must not stop a run.
PATIENT = {"KD_LEASE_S": "60", "KD_HEARTBEAT_S": "1", "KD_SLOTS": "1", "KD_WARM": "false"}
ENDLESS = 100_000  # epochs: the job never ends by itself
READY = ("GET", "/v1/ready", None)
ANSWER_S = 60.0  # longest time of any request; the API's own limits are 15 to 30 s


@dataclass
class Front:
    """The servers of a service and the proxies in front of them."""

    postgres: Postgres
    broker: Broker
    to_postgres: Proxy
    to_broker: Proxy


_fronts: WeakKeyDictionary[FaultScenario, Front] = WeakKeyDictionary()


def front_of(scenario: FaultScenario, settings: Mapping[str, str] = PATIENT) -> Front:
    """The scenario's front; the first call opens the scenario."""
    if scenario not in _fronts:
        database, queue = scenario.keep(postgres()), scenario.keep(broker())
        to_database = scenario.keep(proxy_for(database.url, delay_s=0.05))
        to_broker = scenario.keep(proxy_for(queue.url))
        _fronts[scenario] = Front(database, queue, to_database, to_broker)
        scenario.open(
            KD_DATABASE_URL=through(to_database, database.url),
            KD_BROKER_URL=through(to_broker, queue.url),
            **settings,
        )
    return _fronts[scenario]


@contextmanager
def running(scenario: FaultScenario) -> Iterator[Job]:
    """Run a job in the only slot while the block lasts, then cancel it."""
    stages = training("-", epochs=ENDLESS)["stages"]
    data = {"batch_size": 4}  # many steps per epoch, because each epoch emits many events
    job = scenario.submit(comparable=False, stages=stages, data=data, checkpoint_every_s=1)
    wait_until(lambda: last_event(scenario, job) > 1, 60, "the endless job makes progress")
    try:
        yield job
    finally:
        scenario.wait_for(job, "running")  # it may have been requeued
        scenario.client.jobs.get(job.id).cancel()
        scenario.finish(job)


def run_of(scenario: FaultScenario, job: Job) -> psutil.Process:
    """The process that runs the job."""
    children = scenario.service.process("jobs").children(recursive=True)
    (run,) = (child for child in children if job.id in child.cwd())
    return run


def last_event(scenario: FaultScenario, job: Job) -> int:
    """The number of the job's last event."""
    with scenario.rows() as s:
        return s.get_one(tables.Job, job.id).last_event


def continues(scenario: FaultScenario, job: Job, within_s: float = 60) -> None:
    """Wait for a new event of the job."""
    before = last_event(scenario, job)
    wait_until(lambda: last_event(scenario, job) > before, within_s, "the endless job continues")


def submitted(scenario: FaultScenario, count: int) -> tuple[list[Job], list[float]]:
    """Submit `count` jobs; returns them and the sorted durations of the requests in seconds."""
    jobs, took = [], []
    for _ in range(count):
        started_s = time.monotonic()
        jobs.append(scenario.submit())
        took.append(time.monotonic() - started_s)
    return jobs, sorted(took)


def receives_notifications(url: str, within_s: float = 60) -> None:
    """Wait until a worker takes a notification from this broker."""
    app = make_app(BrokerSettings(broker_url=url))
    notifier = Notifier(app)
    wait_until(lambda: notifier.notify("job_unknown"), within_s, "the broker takes a notification")
    wait_until(
        lambda: notifications_waiting(app) == 0, within_s, "the worker takes the notification"
    )


def url_of(scenario: FaultScenario) -> str:
    """The URL of its API."""
    return f"http://127.0.0.1:{scenario.service.port}"


def refuses_clearly(url: str) -> None:
    """Assert that the API answers 503 in time, with a Retry-After, while the database is down."""
    requests = (("GET", "/v1/jobs", None), ("POST", "/v1/uploads", {"size": 1}), READY)
    with httpx.Client(base_url=url, timeout=ANSWER_S) as http, ThreadPoolExecutor() as pool:
        # Readiness caches its answer for a second.
        wait_until(
            lambda: http.get(READY[1]).status_code == 503, 20, "readiness reports the outage"
        )
        answers = pool.map(lambda each: http.request(each[0], each[1], json=each[2]), requests)
        assert http.get("/v1/health").status_code == 200, "the process is alive"
        for (_, path, _), answer in zip(requests, answers, strict=True):
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
            if path != READY[1]:
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.json()["code"] == "unavailable"
