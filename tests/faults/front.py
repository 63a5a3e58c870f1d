"""Servers of a scene's own with a proxy in front of each, and what the faults on them share."""

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
from distillery.broker.notify import Notifier
from distillery.store.db import tables
from distillery.wire.jobs import Job
from tests.e2e.pictures import training
from tests.e2e.service import wait_until
from tests.faults.proxy import Proxy
from tests.faults.scenario import FaultScenario
from tests.faults.servers import Broker, Postgres, broker, postgres, proxy_for, through

# The usual lease: an outage of seconds is no reason to give a run up.
PATIENT = {"KD_LEASE_S": "60", "KD_HEARTBEAT_S": "1", "KD_SLOTS": "1", "KD_WARM": "false"}
ENDLESS = 100_000  # epochs: far too many to end by themselves
READY = ("GET", "/v1/ready", None)
ANSWER_S = 60.0  # no request may take longer, whatever is broken: the API's own bounds are 15 to 30


@dataclass
class Front:
    """What lies between the programs and what they need."""

    postgres: Postgres
    broker: Broker
    to_postgres: Proxy
    to_broker: Proxy


_fronts: WeakKeyDictionary[FaultScenario, Front] = WeakKeyDictionary()


def front_of(scenario: FaultScenario, settings: Mapping[str, str] = PATIENT) -> Front:
    """The front of a scene, which is opened with one unless it is open already."""
    if scenario not in _fronts:
        database, notifications = scenario.keep(postgres()), scenario.keep(broker())
        to_database = scenario.keep(proxy_for(database.url, delay_s=0.05))
        to_broker = scenario.keep(proxy_for(notifications.url))
        _fronts[scenario] = Front(database, notifications, to_database, to_broker)
        scenario.open(
            KD_DATABASE_URL=through(to_database, database.url),
            KD_BROKER_URL=through(to_broker, notifications.url),
            **settings,
        )
    return _fronts[scenario]


@contextmanager
def running(scenario: FaultScenario) -> Iterator[Job]:
    """A job that runs, holding the only slot, as long as the block lasts; then it is cancelled."""
    stages = training("-", epochs=ENDLESS)["stages"]
    data = {"batch_size": 4}  # many steps an epoch, for each epoch tells much
    job = scenario.submit(comparable=False, stages=stages, data=data, checkpoint_every_s=1)
    wait_until(lambda: step_of(scenario, job) > 1, 60, "the endless job makes its steps")
    try:
        yield job
    finally:
        scenario.wait_for(job, "running")  # it was given up for a while, perhaps
        scenario.client.jobs.cancel(job.id)
        scenario.finish(job)


def run_of(scenario: FaultScenario, job: Job) -> psutil.Process:
    """The process that works in the job's directory."""
    children = scenario.service.process("jobs").children(recursive=True)
    (run,) = (child for child in children if job.id in child.cwd())
    return run


def step_of(scenario: FaultScenario, job: Job) -> int:
    """The number of the last thing that the job has said."""
    with scenario.rows() as s:
        return s.get_one(tables.Job, job.id).last_event


def goes_on(scenario: FaultScenario, job: Job, within_s: float = 60) -> None:
    """Return once the job has said something new."""
    before = step_of(scenario, job)
    wait_until(lambda: step_of(scenario, job) > before, within_s, "the endless job gets on")


def submitted(scenario: FaultScenario, count: int) -> tuple[list[Job], list[float]]:
    """So many jobs behind the one that runs, and how long each submission took in seconds."""
    jobs, took = [], []
    for _ in range(count):
        began_s = time.monotonic()
        jobs.append(scenario.submit())
        took.append(time.monotonic() - began_s)
    return jobs, sorted(took)


def receives_notifications(url: str, within_s: float = 60) -> None:
    """Return once somebody takes what is rung on this broker."""
    notifier = Notifier(make_app(BrokerSettings(broker_url=url)))
    wait_until(lambda: notifier.notify("job_nobody"), within_s, "the broker takes a notification")
    wait_until(lambda: notifier.waiting() == 0, within_s, "the worker takes the notification")


def url_of(scenario: FaultScenario) -> str:
    """Where its API listens."""
    return f"http://127.0.0.1:{scenario.service.port}"


def refuses_clearly(url: str) -> None:
    """The API says within its bounds that the database is away, and when to come back."""
    asked = (("GET", "/v1/jobs", None), ("POST", "/v1/uploads", {"size": 1}), READY)
    with httpx.Client(base_url=url, timeout=ANSWER_S) as http, ThreadPoolExecutor() as pool:
        # Readiness hands an answer on for a second: it may still have one from before.
        wait_until(
            lambda: http.get(READY[1]).status_code == 503, 20, "readiness sees that it is away"
        )
        answers = pool.map(lambda ask: http.request(ask[0], ask[1], json=ask[2]), asked)
        assert http.get("/v1/health").status_code == 200, "the process lives"
        for (_, path, _), answer in zip(asked, answers, strict=True):
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
            if path != READY[1]:
                assert answer.headers["Content-Type"] == "application/problem+json"
                assert answer.json()["code"] == "unavailable"
