"""Counts unfinished jobs by state and task, from partial indexes.

Finished jobs are not counted, because their number is unbounded.
"""

from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.store.jobs.claim import QUEUE
from distillery.store.jobs.partial import in_state
from distillery.wire.states import ACTIVE, State


def active(s: Session) -> Mapping[tuple[State, str], int]:
    """Return the number of jobs by state and task, of all tenants; zeros included."""
    counts = {(state, task): 0 for state in State if state in ACTIVE for task in QUEUE}
    for state in (State.QUEUED, State.PAUSED):
        for task in QUEUE:
            count = select(func.count()).where(in_state(state), Job.task == task)
            counts[state, task] = s.scalar(count) or 0
    # Running jobs are few; their index is by lease and has no tasks.
    running = select(Job.task).where(in_state(State.RUNNING), Job.lease_until > 0)
    for task in s.scalars(running):
        counts[State.RUNNING, task] += 1
    return counts


def lapsed(s: Session) -> int:
    """Count running jobs whose lease has lapsed and that no reaper has requeued yet."""
    query = select(func.count()).where(in_state(State.RUNNING), Job.lease_until < db_now(s))
    return s.scalar(query) or 0


def oldest_queued_at(s: Session) -> int | None:
    """Return when the job that has waited longest was queued; None if no job waits."""
    firsts: list[int] = []
    for task in QUEUE:
        query = select(Job.queued_at).where(in_state(State.QUEUED), Job.task == task)
        firsts += s.scalars(query.order_by(Job.queued_at).limit(1))
    return min(firsts, default=None)


def oldest_queued(s: Session, tenant: str) -> Job | None:
    """Return this tenant's queued job that was submitted first."""
    firsts: list[Job] = []
    for task in QUEUE:
        query = select(Job).where(Job.tenant == tenant, Job.task == task, Job.state == State.QUEUED)
        firsts += s.scalars(query.order_by(Job.id).limit(1))
    return min(firsts, key=lambda job: job.id, default=None)
