"""A broker that is flushed, killed, stopped or cut off, and invalid messages."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import redis

from distillery.broker.app import RUN_JOB, make_app
from distillery.broker.config import BrokerSettings
from tests.e2e.service import wait_until
from tests.faults.fault import fault
from tests.faults.front import Front, front_of, receives_notifications, running, submitted
from tests.faults.proxy import Mode
from tests.faults.scenario import FaultScenario

SHORT_S, DOWN_S, STOPPED_S = 2.0, 60.0, 30.0
COUNT = 15
WORST_S = 5.0  # a submission that waited for a stalled broker would take 8 s or more
Action = Callable[[], object]
GARBAGE = (
    b"",
    b"{",
    b"null",
    b"[1, 2]",
    b"\xff\xfe",
    b'{"properties": 3}',
    b'{"body": 1}',
    b'{"body": "e30", "properties": {"body_encoding": "base64", "delivery_tag": "x"}}',
    b'{"body": "e30=", "properties": {"body_encoding": "rot13", "delivery_tag": "x"}}',
)


@fault("F7", "broker flushed", places=("servers",), alone=True, standin=True)
def broker_flushed(scenario: FaultScenario, draw: Random) -> str:
    """All its data is gone; its clients stay connected."""
    front = front_of(scenario)

    def flush() -> None:
        with redis.Redis.from_url(front.broker.url) as client:
            client.flushall()

    return _without(scenario, front, flush, lambda: None, 0)


@fault(
    "F7", "broker killed, back empty after seconds", places=("servers",), alone=True, standin=True
)
def broker_down(scenario: FaultScenario, draw: Random) -> str:
    """It is down and comes back empty."""
    front = front_of(scenario)
    return _without(scenario, front, front.broker.kill, front.broker.start, SHORT_S)


@fault("F7", "broker down for 60 s", places=("servers",), alone=True, standin=True, long=True)
def broker_down_long(scenario: FaultScenario, draw: Random) -> str:
    """The same, for longer than any client waits."""
    front = front_of(scenario)
    return _without(scenario, front, front.broker.kill, front.broker.start, DOWN_S)


@fault("F7", "broker stopped (SIGSTOP) for seconds", places=("servers",), alone=True, standin=True)
def broker_stopped(scenario: FaultScenario, draw: Random) -> str:
    """It accepts connections and never answers."""
    return _stopped(scenario, SHORT_S)


@fault(
    "F7",
    "broker stopped (SIGSTOP) for 30 s",
    places=("servers",),
    alone=True,
    standin=True,
    long=True,
)
def broker_stopped_long(scenario: FaultScenario, draw: Random) -> str:
    """The same, for longer than every timeout."""
    return _stopped(scenario, STOPPED_S)


@fault("F11", "broker slow, black-holed, reset", places=("servers",), alone=True, standin=True)
def broker_cut_off(scenario: FaultScenario, draw: Random) -> str:
    """The network to it is slow, drops everything, or resets connections."""
    front = front_of(scenario)
    modes: tuple[Mode, ...] = ("slow", "hole", "refuse")
    mode = draw.choice(modes)
    outcome = _without(
        scenario,
        front,
        lambda: front.to_broker.set_mode(mode),
        lambda: front.to_broker.set_mode("pass"),
        draw.uniform(0, SHORT_S),
    )
    return f"{mode}: {outcome}"


def _stopped(scenario: FaultScenario, seconds: float) -> str:
    front = front_of(scenario)
    process = front.broker.process
    return _without(
        scenario,
        front,
        lambda: process.send_signal(signal.SIGSTOP),
        lambda: process.send_signal(signal.SIGCONT),
        seconds,
    )


def _without(
    scenario: FaultScenario, front: Front, begin: Action, end: Action, seconds: float
) -> str:
    """Assert that submissions are as fast as ever, that one of them runs during the outage, and
    that the same worker receives notifications again after it."""
    worker = scenario.service.process("jobs")
    with running(scenario):
        before, usual = submitted(scenario, COUNT)
        begin()
        started_s = time.monotonic()
        during, delayed = submitted(scenario, COUNT)
        assert delayed[-1] < WORST_S, f"a submission took {delayed[-1]:.1f} s"
        for job in (*before, *during[1:]):
            scenario.client.jobs.get(job.id).cancel()
    ended = scenario.finish(during[0])  # found by the poll
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    time.sleep(max(0.0, seconds - (time.monotonic() - started_s)))
    end()
    receives_notifications(front.broker.url)
    assert scenario.service.process("jobs") == worker and scenario.service.poll("jobs") is None
    return f"submissions p50 {_ms(usual)} before, {_ms(delayed)} during"


def _ms(took: list[float]) -> str:
    return f"{took[len(took) // 2] * 1000:.0f} ms (worst {took[-1] * 1000:.0f} ms)"


@fault("F8", "duplicate, stale, reordered and malformed notifications", standin=True)
def bad_notifications(scenario: FaultScenario, draw: Random) -> str:
    """Invalid messages of every kind in any order: one attempt per job, and errors in the log."""
    worker = scenario.service.process("jobs")
    first = scenario.finish(scenario.submit())
    with running(scenario) as running_job:
        waiting = [scenario.submit() for _ in range(2)]
        actions = [
            *_notifications(
                scenario, [*(job.id for job in (*waiting, running_job, first)), "job_unknown"] * 3
            )
        ]
        actions += _garbage(scenario)
        draw.shuffle(actions)
        for act in actions:
            act()
    for job in waiting:
        ended = scenario.finish(job)
        assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    log = scenario.folder / "home" / "jobs.log"
    wait_until(lambda: "malformed message" in log.read_text(), 30, "the garbage is logged")
    assert scenario.service.process("jobs") == worker and scenario.service.poll("jobs") is None
    return f"{len(actions)} invalid notifications"


def _broker_settings(scenario: FaultScenario) -> BrokerSettings:
    url = scenario.service.settings.get("KD_BROKER_URL")
    return BrokerSettings(home=scenario.folder / "home", broker_url=url)


def _notifications(scenario: FaultScenario, job_ids: Sequence[str]) -> list[Action]:
    """Notifications that are late, early, duplicate, or for an unknown job."""
    app = make_app(_broker_settings(scenario))
    return [partial(app.send_task, RUN_JOB, args=[job_id]) for job_id in job_ids]


def _garbage(scenario: FaultScenario) -> list[Action]:
    """Tasks with invalid arguments, then malformed messages."""
    settings = _broker_settings(scenario)
    app = make_app(settings)
    actions: list[Action] = [
        partial(app.send_task, RUN_JOB, args=[{"not": "an id"}]),
        partial(app.send_task, RUN_JOB, args=[]),
        partial(app.send_task, "worker.unknown", args=[1], queue="jobs"),
    ]
    if settings.is_local:
        folder = scenario.folder / "home" / "broker" / "jobs"
        place = (folder / f"{number:04}.json" for number in count())
        return actions + [partial(_write, place, text) for text in GARBAGE]
    return actions + [partial(_push, settings.url, text) for text in GARBAGE]


def _write(place: Iterator[Path], text: bytes) -> None:
    next(place).write_bytes(text)


def _push(url: str, text: bytes) -> None:
    with redis.Redis.from_url(url) as client:
        client.lpush("jobs", text)
