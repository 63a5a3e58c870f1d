"""A broker that is flushed, wiped, down or stopped, and messages that nobody should have sent."""

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
WORST_S = 5.0  # a submission that waits for a stalled broker takes 8 s and more
Harm = Callable[[], object]
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
    """Everything it knew is gone, its clients stay connected."""
    front = front_of(scenario)

    def flush() -> None:
        with redis.Redis.from_url(front.broker.url) as client:
            client.flushall()

    return _without(scenario, front, flush, lambda: None, 0)


@fault(
    "F7", "broker killed, back empty after seconds", places=("servers",), alone=True, standin=True
)
def broker_down(scenario: FaultScenario, draw: Random) -> str:
    """It is away and comes back wiped."""
    front = front_of(scenario)
    return _without(scenario, front, front.broker.kill, front.broker.start, SHORT_S)


@fault("F7", "broker down for 60 s", places=("servers",), alone=True, standin=True, long=True)
def broker_down_long(scenario: FaultScenario, draw: Random) -> str:
    """The same, for as long as somebody needs to notice."""
    front = front_of(scenario)
    return _without(scenario, front, front.broker.kill, front.broker.start, DOWN_S)


@fault("F7", "broker stopped (SIGSTOP) for seconds", places=("servers",), alone=True, standin=True)
def broker_stopped(scenario: FaultScenario, draw: Random) -> str:
    """It accepts connections and answers nothing."""
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
    """The network between, in one of its moods."""
    front = front_of(scenario)
    moods: tuple[Mode, ...] = ("slow", "hole", "refuse")
    mood = draw.choice(moods)
    said = _without(
        scenario,
        front,
        lambda: front.to_broker.be(mood),
        lambda: front.to_broker.be("pass"),
        draw.uniform(0, SHORT_S),
    )
    return f"{mood}: {said}"


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


def _without(scenario: FaultScenario, front: Front, begin: Harm, end: Harm, seconds: float) -> str:
    """Submissions answer as fast as ever, one of them runs during the outage, and the worker that
    was there before takes notifications again after it."""
    worker = scenario.service.process("jobs")
    with running(scenario):
        before, usual = submitted(scenario, COUNT)
        begin()
        began_s = time.monotonic()
        during, hurt = submitted(scenario, COUNT)
        assert hurt[-1] < WORST_S, f"a submission took {hurt[-1]:.1f} s"
        for job in (*before, *during[1:]):
            scenario.client.jobs.cancel(job.id)
    ended = scenario.finish(during[0])  # found by the poll
    assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    time.sleep(max(0.0, seconds - (time.monotonic() - began_s)))
    end()
    receives_notifications(front.broker.url)
    assert scenario.service.process("jobs") == worker and scenario.service.poll("jobs") is None
    return f"submissions p50 {_ms(usual)} before, {_ms(hurt)} during"


def _ms(took: list[float]) -> str:
    return f"{took[len(took) // 2] * 1000:.0f} ms (worst {took[-1] * 1000:.0f} ms)"


@fault("F8", "doubled, stale, reordered and malformed notifications", standin=True)
def bad_notifications(scenario: FaultScenario, draw: Random) -> str:
    """Messages of every wrong kind in any order: one attempt per job, garbage logged."""
    worker = scenario.service.process("jobs")
    first = scenario.finish(scenario.submit())
    with running(scenario) as running_job:
        waiting = [scenario.submit() for _ in range(2)]
        harm = [
            *_notifications(
                scenario, [*(job.id for job in (*waiting, running_job, first)), "job_nobody"] * 3
            )
        ]
        harm += _garbage(scenario)
        draw.shuffle(harm)
        for do in harm:
            do()
    for job in waiting:
        ended = scenario.finish(job)
        assert (ended.state, ended.attempt) == ("succeeded", 1), ended.error
    log = scenario.folder / "home" / "jobs.log"
    wait_until(lambda: "malformed message" in log.read_text(), 30, "the garbage is told in the log")
    assert scenario.service.process("jobs") == worker and scenario.service.poll("jobs") is None
    return f"{len(harm)} bad notifications"


def _notifier(scenario: FaultScenario) -> BrokerSettings:
    url = scenario.service.settings.get("KD_BROKER_URL")
    return BrokerSettings(home=scenario.folder / "home", broker_url=url)


def _notifications(scenario: FaultScenario, job_ids: Sequence[str]) -> list[Harm]:
    """Notifications that are late, early, doubled, or for nobody."""
    app = make_app(_notifier(scenario))
    return [partial(app.send_task, RUN_JOB, args=[job_id]) for job_id in job_ids]


def _garbage(scenario: FaultScenario) -> list[Harm]:
    """Tasks that make no sense, then messages that are none."""
    notifier = _notifier(scenario)
    app = make_app(notifier)
    harm: list[Harm] = [
        partial(app.send_task, RUN_JOB, args=[{"not": "an id"}]),
        partial(app.send_task, RUN_JOB, args=[]),
        partial(app.send_task, "worker.unknown", args=[1], queue="jobs"),
    ]
    if notifier.is_local:
        folder = scenario.folder / "home" / "broker" / "jobs"
        place = (folder / f"{number:04}.json" for number in count())
        return harm + [partial(_write, place, text) for text in GARBAGE]
    return harm + [partial(_push, notifier.url, text) for text in GARBAGE]


def _write(place: Iterator[Path], text: bytes) -> None:
    next(place).write_bytes(text)


def _push(url: str, text: bytes) -> None:
    with redis.Redis.from_url(url) as client:
        client.lpush("jobs", text)
