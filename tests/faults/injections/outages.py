"""Failure of all programs and servers."""

from collections.abc import Callable
from functools import partial
from random import Random

from tests.faults.fault import fault
from tests.faults.front import front_of
from tests.faults.scenario import STEPS, FaultScenario
from tests.faults.servers import Broker, Postgres


@fault("F20", "every program killed -9, then started")
def all_killed(scenario: FaultScenario, draw: Random) -> str:
    """kill -9 of API, worker and reaper, with a running job and a waiting one."""
    return _all_killed(scenario, draw)


@fault("F20", "programs, PostgreSQL and broker killed -9", places=("servers",), alone=True)
def all_killed_with_servers(scenario: FaultScenario, draw: Random) -> str:
    """The same together with their servers, restarted in any order."""
    front = front_of(scenario, settings={})
    return _all_killed(scenario, draw, front.postgres, front.broker)


def _all_killed(scenario: FaultScenario, draw: Random, *servers: Postgres | Broker) -> str:
    service = scenario.service
    running, _ = scenario.hold(draw.randint(2, STEPS - 5))
    waiting = scenario.submit()
    names = ["api", "jobs", "reaper"]
    kills: list[Callable[[], object]] = [partial(service.kill, name) for name in names]
    starts: list[Callable[[], object]] = [partial(service.start_as, name, name) for name in names]
    kills += [server.kill for server in servers]
    starts += [server.start for server in servers]
    for action in (*draw.sample(kills, len(kills)), *draw.sample(starts, len(starts))):
        action()
    for job in (running, waiting):
        ended = scenario.finish(job)
        assert ended.state == "succeeded", ended.error
    return "both jobs succeeded"
