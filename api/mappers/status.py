"""Maps the state of the whole service to a view."""

from sqlalchemy.orm import Session

from distillery.api.mappers.common import time_of
from distillery.api.mappers.jobs import waiting_view
from distillery.store import jobs
from distillery.store.jobs import job_counts, workers
from distillery.wire.keys import Health, Oldest, Status, WorkerView
from distillery.wire.states import State


def status_view(s: Session, tenant: str, health: Health) -> Status:
    """Return the service's status: counts of all tenants, and the oldest job of this one."""
    alive = workers.alive(s)
    counts = job_counts.active(s)
    by_state = {
        state.value: sum(count for (its, _), count in counts.items() if its is state)
        for state in (State.QUEUED, State.RUNNING, State.PAUSED)
    }
    return Status(
        health=health,
        workers=[
            WorkerView(
                name=worker.name,
                slots=worker.slots,
                started_at=time_of(worker.started_at),
                seen_at=time_of(worker.seen_at),
                trouble=worker.trouble,
            )
            for worker in alive
        ],
        slots=sum(worker.slots for worker in alive),
        busy=by_state[State.RUNNING] - job_counts.lapsed(s),
        jobs=by_state,
        oldest=_oldest(s, tenant),
    )


def _oldest(s: Session, tenant: str) -> Oldest | None:
    job = job_counts.oldest_queued(s, tenant)
    if job is None:
        return None
    waiting = jobs.waiting_for(s, job)
    return Oldest(
        id=job.id,
        name=job.name,
        queued_at=time_of(job.queued_at),
        waiting=None if waiting is None else waiting_view(waiting),
    )
