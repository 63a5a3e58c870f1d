"""A database that restarts, crashes, is down, slow, cut off, or locked by another process."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import httpx

from tests.e2e.service import lives, wait_until
from tests.faults.fault import fault
from tests.faults.front import (
    ANSWER_S,
    PATIENT,
    front_of,
    goes_on,
    refuses_clearly,
    run_of,
    running,
    url_of,
)
from tests.faults.scenario import FaultScenario

SHORT_S, DOWN_S, LOCKED_S, TOO_LONG_S = 2.0, 60.0, 10.0, 50.0
SURE_S = 20.0  # an outage that is shorter is no reason to give up a lease of 60 s


@fault("F10", "PostgreSQL restarted", places=("servers",), alone=True, standin=True)
def postgres_restarted(scenario: FaultScenario, draw: Random) -> str:
    """A restart that ends every connection."""
    return _away(scenario, "fast", 0)


@fault(
    "F10", "PostgreSQL stopped at once (immediate)", places=("servers",), alone=True, standin=True
)
def postgres_crashed(scenario: FaultScenario, draw: Random) -> str:
    """A stop without a goodbye, and the recovery after it."""
    return _away(scenario, "immediate", 0)


@fault("F10", "PostgreSQL down for seconds", places=("servers",), alone=True, standin=True)
def postgres_down(scenario: FaultScenario, draw: Random) -> str:
    """It is away; programs that are started meanwhile wait for it."""
    return _away(scenario, "fast", SHORT_S)


@fault("F10", "PostgreSQL down for 60 s", places=("servers",), alone=True, standin=True, long=True)
def postgres_down_long(scenario: FaultScenario, draw: Random) -> str:
    """It is away for longer than half a lease: the run is given up, by name, and goes on later."""
    return _away(scenario, draw.choice(("fast", "immediate")), DOWN_S)


def _away(scenario: FaultScenario, mode: str, seconds: float) -> str:
    front, service = front_of(scenario), scenario.service
    with running(scenario) as job:
        run = run_of(scenario, job)
        front.postgres.stop(mode)
        began_s = time.monotonic()
        if seconds:
            refuses_clearly(url_of(scenario))
            service.kill("api")
            service.start_as("api", "api")
            service.start_as("late", "jobs", KD_SLOTS="1")
            time.sleep(max(0.0, seconds - (time.monotonic() - began_s)))
            assert all(service.poll(name) is None for name in ("api", "jobs", "reaper", "late"))
        outage_s = time.monotonic() - began_s
        assert lives(run) or outage_s > SURE_S, "the run goes on without the database"
        front.postgres.start()
        wait_until(lambda: scenario.client.ready().ok, 60, "the API is ready again")
        goes_on(scenario, job)
        attempt = scenario.client.jobs.get(job.id).attempt
        assert attempt == 1 or outage_s > SURE_S, "the lease outlives the outage"
    ended = scenario.finish(scenario.submit())
    assert ended.state == "succeeded", ended.error
    return f"{mode}, away for {outage_s:.0f} s; attempt {attempt} goes on"


@fault("F11", "database connection slow", places=("servers",), alone=True, standin=True)
def database_slow(scenario: FaultScenario, draw: Random) -> str:
    """Every answer comes late."""
    front = front_of(scenario)
    front.to_postgres.be("slow")
    try:
        ended = scenario.finish(scenario.submit())
    finally:
        front.to_postgres.be("pass")
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    return "a job ends as ever"


@fault("F11", "database connection black-holed", places=("servers",), alone=True, standin=True)
def database_hole(scenario: FaultScenario, draw: Random) -> str:
    """Bytes go and none come back, on old connections as on new ones."""
    return _hole(scenario, 0)


@fault(
    "F11",
    "database connection black-holed for 60 s",
    places=("servers",),
    alone=True,
    standin=True,
    long=True,
)
def database_hole_long(scenario: FaultScenario, draw: Random) -> str:
    """The same, for longer than half a lease."""
    return _hole(scenario, DOWN_S)


def _hole(scenario: FaultScenario, seconds: float) -> str:
    front = front_of(scenario)
    with running(scenario) as job:
        began_s = time.monotonic()
        front.to_postgres.be("hole")
        try:
            refuses_clearly(url_of(scenario))
            answered_s = time.monotonic() - began_s
            time.sleep(max(0.0, seconds - answered_s))
        finally:
            front.to_postgres.be("pass")
        wait_until(lambda: scenario.client.ready().ok, 60, "the API is ready again")
        goes_on(scenario, job)
        attempt = scenario.client.jobs.get(job.id).attempt
    return f"refused within {answered_s:.0f} s; attempt {attempt} goes on"


@fault("F11", "database connections reset", places=("servers",), alone=True, standin=True)
def database_reset(scenario: FaultScenario, draw: Random) -> str:
    """Again and again, while jobs are submitted and one runs."""
    front = front_of(scenario)
    over = threading.Event()

    def reset() -> None:
        while not over.wait(draw.uniform(0.2, 1.0)):
            front.to_postgres.reset()

    with running(scenario) as job:
        rude = threading.Thread(target=reset)
        rude.start()
        try:
            jobs = [scenario.submit() for _ in range(5)]
        finally:
            over.set()
            rude.join()
        assert len({job.id for job in jobs}) == 5
        for one in jobs[1:]:
            scenario.client.jobs.cancel(one.id)
        goes_on(scenario, job)
        assert scenario.client.jobs.get(job.id).attempt == 1
    ended = scenario.finish(jobs[0])
    assert ended.state == "succeeded", ended.error
    return "5 submissions under fire"


@fault(
    "F12",
    "SQLite locked by another process for seconds",
    places=("embedded",),
    alone=True,
    standin=True,
)
def sqlite_locked(scenario: FaultScenario, draw: Random) -> str:
    """A neighbour writes for long."""
    return _locked(scenario, SHORT_S)


@fault("F12", "SQLite locked for 10 s", places=("embedded",), alone=True, standin=True, long=True)
def sqlite_locked_long(scenario: FaultScenario, draw: Random) -> str:
    """A neighbour writes for as long as we promise to wait."""
    return _locked(scenario, LOCKED_S)


@fault(
    "F12",
    "SQLite locked for longer than the bound",
    places=("embedded",),
    alone=True,
    standin=True,
    long=True,
)
def sqlite_locked_too_long(scenario: FaultScenario, draw: Random) -> str:
    """A neighbour that never ends: refused clearly, and done when it is asked again."""
    _opened(scenario)
    with (
        running(scenario) as job,
        httpx.Client(base_url=url_of(scenario), timeout=ANSWER_S) as http,
    ):
        with _neighbour(scenario):
            began_s = time.monotonic()
            answer = http.post("/v1/jobs", json=scenario.spec())
            took_s = time.monotonic() - began_s
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
            assert http.get("/v1/jobs").status_code == 200, "readers need not wait"
        goes_on(scenario, job)
    ended = scenario.finish(scenario.submit())
    assert ended.state == "succeeded", ended.error
    return f"503 after {took_s:.0f} s"


def _locked(scenario: FaultScenario, seconds: float) -> str:
    _opened(scenario)
    with running(scenario) as job:
        with _neighbour(scenario):
            release = threading.Timer(seconds, lambda: None)
            release.start()
            took: list[float] = []
            submitter = threading.Thread(target=lambda: took.append(_timed_submit(scenario)))
            submitter.start()
            release.join()
            assert not took, "nobody writes while another does"
        submitter.join(ANSWER_S)
        assert took, "the submission was answered"
        goes_on(scenario, job)
        assert scenario.client.jobs.get(job.id).attempt == 1
    ended = scenario.finish(scenario.client.jobs.get(scenario.jobs[-1]))
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    return f"a submission took {took[0]:.1f} s under a lock of {seconds:.0f} s"


def _timed_submit(scenario: FaultScenario) -> float:
    began_s = time.monotonic()
    scenario.submit()
    return time.monotonic() - began_s


@contextmanager
def _neighbour(scenario: FaultScenario) -> Iterator[None]:
    """Another who holds the write lock while the block lasts."""
    path = scenario.folder / "home" / "distillery.sqlite"
    neighbour = sqlite3.connect(path, isolation_level=None, timeout=60)
    neighbour.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        neighbour.close()


def _opened(scenario: FaultScenario) -> None:
    if not scenario.is_open:
        scenario.open(**PATIENT)
