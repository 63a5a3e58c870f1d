"""Races: workers and reapers for the same job, and cancel requests against its end."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

from sqlalchemy import func, select

from distillery.sdk.errors import ApiError
from distillery.store.db.tables import Transition
from tests.faults.fault import fault
from tests.faults.scenario import FaultScenario

WORKERS, REAPERS, JOBS = 8, 4, 6
FAST = {"KD_POLL_S": "0.05", "KD_REAPER_S": "0.1"}


@fault("F16", "8 workers and 4 reapers race", standin=True)
def many_workers(scenario: FaultScenario, draw: Random) -> str:
    """Each job is claimed once, and no attempt takes it from another."""
    service = scenario.service
    jobs = [scenario.submit() for _ in range(JOBS)]
    service.start_as("crowd", "jobs", "jobs", str(WORKERS), "reaper", str(REAPERS), **FAST)
    jobs += [scenario.submit() for _ in range(JOBS)]
    for job in jobs:
        ended = scenario.finish(job)
        assert ended.state == "succeeded", ended.error
    with scenario.rows() as session:
        claims = (
            select(Transition.job_id, func.count())
            .where(Transition.target == "running", Transition.job_id.in_([j.id for j in jobs]))
            .group_by(Transition.job_id)
        )
        attempts = {row[0]: row[1] for row in session.execute(claims)}
    repeated = sum(count > 1 for count in attempts.values())
    return f"{len(jobs)} jobs, {repeated} of them claimed twice"


@fault("F19", "cancel races claim and finish", standin=True)
def cancels(scenario: FaultScenario, draw: Random) -> str:
    """Every job ends once: cancelled if the response said so, succeeded if the cancel was refused.
    A request to a running job may come too late."""
    delays_s = [draw.uniform(0.0, 1.5) for _ in range(JOBS)]

    def submit_and_cancel(delay_s: float) -> tuple[str, str]:
        job = scenario.submit()
        scenario.sleep(delay_s)
        try:
            answer = scenario.client.jobs.get(job.id).cancel().state.value
        except ApiError as error:
            assert error.problem.status == 409, error
            answer = "refused"
        return answer, scenario.finish(job).state.value

    with ThreadPoolExecutor(JOBS) as pool:
        ends = list(pool.map(submit_and_cancel, delays_s))
    allowed = {
        ("cancelled", "cancelled"),
        ("running", "cancelled"),
        ("running", "succeeded"),
        ("refused", "succeeded"),
    }
    assert set(ends) <= allowed, ends
    return f"{sum(end == 'cancelled' for _, end in ends)} of {JOBS} cancelled"
