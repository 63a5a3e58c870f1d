"""Everything at once."""

from collections.abc import Callable
from functools import partial
from random import Random

from tests.faults.fault import fault
from tests.faults.front import front_of
from tests.faults.scenario import STEPS, FaultScenario
from tests.faults.servers import Broker, Postgres


@fault("F20", "every program killed -9, then started")
def all_killed(scenario: FaultScenario, draw: Random) -> str:
    """kill -9 of API, worker and reaper, with a job under way and another waiting."""
    return _all_killed(scenario, draw)


@fault("F20", "programs, PostgreSQL and broker killed -9", places=("servers",), alone=True)
def all_killed_with_servers(scenario: FaultScenario, draw: Random) -> str:
    """The same with what they stand on, which somebody starts in any order as well."""
    front = front_of(scenario, settings={})
    return _all_killed(scenario, draw, front.postgres, front.broker)


def _all_killed(scenario: FaultScenario, draw: Random, *servers: Postgres | Broker) -> str:
    service = scenario.service
    running, _ = scenario.hold(draw.randint(2, STEPS - 5))
    waiting = scenario.submit()
    names = ["api", "jobs", "reaper"]
    deaths: list[Callable[[], object]] = [partial(service.kill, name) for name in names]
    births: list[Callable[[], object]] = [partial(service.start_as, name, name) for name in names]
    deaths += [server.kill for server in servers]
    births += [server.start for server in servers]
    for happens in (*draw.sample(deaths, len(deaths)), *draw.sample(births, len(births))):
        happens()
    for job in (running, waiting):
        ended = scenario.finish(job)
        assert ended.state == "succeeded", ended.error
    return "both jobs succeeded"
