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
    continues,
    front_of,
    refuses_clearly,
    run_of,
    running,
    url_of,
)
from tests.faults.scenario import FaultScenario

SHORT_S, DOWN_S, LOCKED_S = 2.0, 60.0, 10.0
SURE_S = 20.0  # a shorter outage must not stop a run with a lease of 60 s


@fault("F10", "PostgreSQL restarted", places=("servers",), alone=True, standin=True)
def postgres_restarted(scenario: FaultScenario, draw: Random) -> str:
    """A restart that ends every connection."""
    return _away(scenario, "fast", 0)


@fault("F10", "PostgreSQL stopped (immediate)", places=("servers",), alone=True, standin=True)
def postgres_crashed(scenario: FaultScenario, draw: Random) -> str:
    """A stop without a shutdown checkpoint, and the recovery after it."""
    return _away(scenario, "immediate", 0)


@fault("F10", "PostgreSQL down for seconds", places=("servers",), alone=True, standin=True)
def postgres_down(scenario: FaultScenario, draw: Random) -> str:
    """It is down; programs that are started meanwhile wait for it."""
    return _away(scenario, "fast", SHORT_S)


@fault("F10", "PostgreSQL down for 60 s", places=("servers",), alone=True, standin=True, long=True)
def postgres_down_long(scenario: FaultScenario, draw: Random) -> str:
    """It is down for longer than half a lease: the run is stopped and resumes later."""
    return _away(scenario, draw.choice(("fast", "immediate")), DOWN_S)


def _away(scenario: FaultScenario, mode: str, seconds: float) -> str:
    front, service = front_of(scenario), scenario.service
    with running(scenario) as job:
        run = run_of(scenario, job)
        front.postgres.stop(mode)
        started_s = time.monotonic()
        if seconds:
            refuses_clearly(url_of(scenario))
            service.kill("api")
            service.start_as("api", "api")
            service.start_as("late", "jobs", KD_SLOTS="1")
            time.sleep(max(0.0, seconds - (time.monotonic() - started_s)))
            assert all(service.poll(name) is None for name in ("api", "jobs", "reaper", "late"))
        outage_s = time.monotonic() - started_s
        assert lives(run) or outage_s > SURE_S, "the run continues without the database"
        front.postgres.start()
        wait_until(lambda: scenario.client.ready().ok, 60, "the API is ready again")
        continues(scenario, job)
        attempt = scenario.client.jobs.get(job.id).attempt
        assert attempt == 1 or outage_s > SURE_S, "the lease outlives the outage"
    ended = scenario.finish(scenario.submit())
    assert ended.state == "succeeded", ended.error
    return f"{mode}, down for {outage_s:.0f} s; attempt {attempt} continues"


@fault("F11", "database connection slow", places=("servers",), alone=True, standin=True)
def database_slow(scenario: FaultScenario, draw: Random) -> str:
    """Every answer is late."""
    front = front_of(scenario)
    front.to_postgres.set_mode("slow")
    try:
        ended = scenario.finish(scenario.submit())
    finally:
        front.to_postgres.set_mode("pass")
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    return "a job succeeds"


@fault("F11", "database connection black-holed", places=("servers",), alone=True, standin=True)
def database_hole(scenario: FaultScenario, draw: Random) -> str:
    """All bytes are dropped, on existing and on new connections."""
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
        started_s = time.monotonic()
        front.to_postgres.set_mode("hole")
        try:
            refuses_clearly(url_of(scenario))
            answered_s = time.monotonic() - started_s
            time.sleep(max(0.0, seconds - answered_s))
        finally:
            front.to_postgres.set_mode("pass")
        wait_until(lambda: scenario.client.ready().ok, 60, "the API is ready again")
        continues(scenario, job)
        attempt = scenario.client.jobs.get(job.id).attempt
    return f"refused within {answered_s:.0f} s; attempt {attempt} continues"


@fault("F11", "database connections reset", places=("servers",), alone=True, standin=True)
def database_reset(scenario: FaultScenario, draw: Random) -> str:
    """Connections are reset repeatedly while jobs are submitted and one runs."""
    front = front_of(scenario)
    over = threading.Event()

    def reset() -> None:
        while not over.wait(draw.uniform(0.2, 1.0)):
            front.to_postgres.reset()

    with running(scenario) as job:
        resetter = threading.Thread(target=reset)
        resetter.start()
        try:
            jobs = [scenario.submit() for _ in range(5)]
        finally:
            over.set()
            resetter.join()
        assert len({job.id for job in jobs}) == 5
        for extra in jobs[1:]:
            scenario.client.jobs.get(extra.id).cancel()
        continues(scenario, job)
        assert scenario.client.jobs.get(job.id).attempt == 1
    ended = scenario.finish(jobs[0])
    assert ended.state == "succeeded", ended.error
    return "5 submissions succeeded"


@fault(
    "F12",
    "SQLite locked by another process for seconds",
    places=("embedded",),
    alone=True,
    standin=True,
)
def sqlite_locked(scenario: FaultScenario, draw: Random) -> str:
    """Another process holds the write lock."""
    return _locked(scenario, SHORT_S)


@fault("F12", "SQLite locked for 10 s", places=("embedded",), alone=True, standin=True, long=True)
def sqlite_locked_long(scenario: FaultScenario, draw: Random) -> str:
    """Another process holds the write lock for nearly as long as we wait."""
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
    """A submission is refused while the lock is held, and succeeds afterwards."""
    _open(scenario)
    with (
        running(scenario) as job,
        httpx.Client(base_url=url_of(scenario), timeout=ANSWER_S) as http,
    ):
        with _write_lock(scenario):
            started_s = time.monotonic()
            answer = http.post("/v1/jobs", json=scenario.spec())
            took_s = time.monotonic() - started_s
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) > 0
            assert http.get("/v1/jobs").status_code == 200, "readers do not wait"
        continues(scenario, job)
    ended = scenario.finish(scenario.submit())
    assert ended.state == "succeeded", ended.error
    return f"503 after {took_s:.0f} s"


def _locked(scenario: FaultScenario, seconds: float) -> str:
    _open(scenario)
    with running(scenario) as job:
        with _write_lock(scenario):
            release = threading.Timer(seconds, lambda: None)
            release.start()
            took: list[float] = []
            submitter = threading.Thread(target=lambda: took.append(_timed_submit(scenario)))
            submitter.start()
            release.join()
            assert not took, "the submission waits for the lock"
        submitter.join(ANSWER_S)
        assert took, "the submission was answered"
        continues(scenario, job)
        assert scenario.client.jobs.get(job.id).attempt == 1
    ended = scenario.finish(scenario.client.jobs.get(scenario.jobs[-1]))
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    return f"a submission took {took[0]:.1f} s under a lock of {seconds:.0f} s"


def _timed_submit(scenario: FaultScenario) -> float:
    started_s = time.monotonic()
    scenario.submit()
    return time.monotonic() - started_s


@contextmanager
def _write_lock(scenario: FaultScenario) -> Iterator[None]:
    """Hold the write lock while the block lasts."""
    path = scenario.folder / "home" / "distillery.sqlite"
    connection = sqlite3.connect(path, isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def _open(scenario: FaultScenario) -> None:
    if not scenario.is_open:
        scenario.open(**PATIENT)
