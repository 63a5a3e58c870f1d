"""One trial: injects a fault into a scenario and checks the invariants afterwards."""

import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from random import Random

from tests.e2e.service import wait_until
from tests.faults.fault import Fault
from tests.faults.scenario import FaultScenario

BOUND_S = 180.0  # every job must end within this time after the fault (I4)


@dataclass
class Verdict:
    """The result of a trial; it was survived if there are no `problems`."""

    outcome: str
    seconds: float
    problems: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        """Whether no assertion or invariant was violated."""
        return not self.problems


def run_trial(fault: Fault, scenario: FaultScenario, draw: Random) -> Verdict:
    """Inject the fault, restore the service and check it. The scenario is open, unless the fault
    opens it."""
    started_s = time.monotonic()
    verdict = Verdict("", 0.0)
    scenario.jobs = []
    try:
        verdict.outcome = fault.inject(scenario, draw)
        scenario.service.restore()
        settle(scenario)
        verdict.problems = scenario.check()
    except Exception as error:  # noqa: BLE001 - a failed trial must not end the campaign
        where = "".join(traceback.format_exception(error)[-3:])
        verdict.problems.append(f"{type(error).__name__}: {where}")
    verdict.seconds = time.monotonic() - started_s
    return verdict


def settle(scenario: FaultScenario) -> None:
    """Wait until every job of the trial has ended in any way."""
    for job_id in scenario.jobs:
        wait_until(partial(_has_ended, scenario, job_id), BOUND_S, f"I4: {job_id} ends")


def _has_ended(scenario: FaultScenario, job_id: str) -> bool:
    return scenario.client.jobs.get(job_id).terminal
