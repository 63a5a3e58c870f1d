"""Many at once: workers and sweeps that want the same job, requests that meet its end."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

from sqlalchemy import func, select

from distillery.sdk.errors import ApiError
from distillery.store.db.tables import Transition
from tests.faults.fault import fault
from tests.faults.scene import Scene

WORKERS, SWEEPS, JOBS = 8, 4, 6
EAGER = {"KD_POLL_S": "0.05", "KD_SWEEP_S": "0.1"}


@fault("F16", "8 workers and 4 sweeps race", standin=True)
def many_workers(scene: Scene, draw: Random) -> str:
    """Each job is claimed once, whoever is faster; no attempt is lost to another."""
    service = scene.service
    jobs = [scene.submit() for _ in range(JOBS)]
    service.start_as("crowd", "jobs", "jobs", str(WORKERS), "sweep", str(SWEEPS), **EAGER)
    jobs += [scene.submit() for _ in range(JOBS)]
    for job in jobs:
        ended = scene.finish(job)
        assert ended.state == "succeeded", ended.error
    with scene.rows() as session:
        claims = (
            select(Transition.job_id, func.count())
            .where(Transition.target == "running", Transition.job_id.in_([j.id for j in jobs]))
            .group_by(Transition.job_id)
        )
        attempts = {row[0]: row[1] for row in session.execute(claims)}
    again = sum(count > 1 for count in attempts.values())
    return f"{len(jobs)} jobs, {again} of them claimed twice"


@fault("F19", "cancel races claim and finish", standin=True)
def cancels(scene: Scene, draw: Random) -> str:
    """Every job ends once: as cancelled where the answer to the cancel said so, as succeeded where
    it was refused; a request to a running job may come too late."""
    delays_s = [draw.uniform(0.0, 1.5) for _ in range(JOBS)]

    def one(delay_s: float) -> tuple[str, str]:
        job = scene.submit()
        scene.sleep(delay_s)
        try:
            answer = scene.client.jobs.cancel(job.id).state.value
        except ApiError as error:
            assert error.problem.status == 409, error
            answer = "refused"
        return answer, scene.finish(job).state.value

    with ThreadPoolExecutor(JOBS) as pool:
        ends = list(pool.map(one, delays_s))
    allowed = {
        ("cancelled", "cancelled"),
        ("running", "cancelled"),
        ("running", "succeeded"),
        ("refused", "succeeded"),
    }
    assert set(ends) <= allowed, ends
    return f"{sum(end == 'cancelled' for _, end in ends)} of {JOBS} cancelled"
