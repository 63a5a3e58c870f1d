"""One trial: a fault is let loose on a scene, and what must hold afterwards is checked."""

import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from random import Random

from tests.e2e.service import wait_until
from tests.faults.fault import Fault
from tests.faults.scenario import FaultScenario

BOUND_S = 180.0  # in which every job must end once the faults have stopped (I4)


@dataclass
class Verdict:
    """What came of a trial; survived when there are no `problems`."""

    outcome: str
    seconds: float
    problems: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        """Whether all that must hold held."""
        return not self.problems


def carry_out(fault: Fault, scenario: FaultScenario, draw: Random) -> Verdict:
    """Do it and see to what comes after. The scene is open, unless the fault opens its own."""
    began_s = time.monotonic()
    verdict = Verdict("", 0.0)
    scenario.jobs = []
    try:
        verdict.outcome = fault.act(scenario, draw)
        scenario.service.restore()
        settle(scenario)
        verdict.problems = scenario.check()
    except Exception as error:  # noqa: BLE001 - whatever it was, the other trials go on
        where = "".join(traceback.format_exception(error)[-3:])
        verdict.problems.append(f"{type(error).__name__}: {where}")
    verdict.seconds = time.monotonic() - began_s
    return verdict


def settle(scenario: FaultScenario) -> None:
    """Wait until every job of the scene has ended, whichever way."""
    for job_id in scenario.jobs:
        wait_until(partial(_has_ended, scenario, job_id), BOUND_S, f"I4: {job_id} ends")


def _has_ended(scenario: FaultScenario, job_id: str) -> bool:
    return scenario.client.jobs.get(job_id).terminal
