"""How many jobs stand where, by walks through the partial indexes of those that are not over.

Jobs that have ended are not counted: there is no end to them.
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
    """Jobs by state and task, of all tenants; every pair is there."""
    found = {(state, task): 0 for state in State if state in ACTIVE for task in QUEUE}
    for state in (State.QUEUED, State.PAUSED):
        for task in QUEUE:
            count = select(func.count()).where(in_state(state), Job.task == task)
            found[state, task] = s.scalar(count) or 0
    # Few, and found by their leases; the index knows no tasks.
    running = select(Job.task).where(in_state(State.RUNNING), Job.lease_until > 0)
    for task in s.scalars(running):
        found[State.RUNNING, task] += 1
    return found


def lapsed(s: Session) -> int:
    """Running jobs whose lease is over and that no reaper has put back yet."""
    query = select(func.count()).where(in_state(State.RUNNING), Job.lease_until < db_now(s))
    return s.scalar(query) or 0


def oldest_queued_at(s: Session) -> int | None:
    """When the job that has waited longest was queued; None: nobody waits."""
    firsts: list[int] = []
    for task in QUEUE:
        query = select(Job.queued_at).where(in_state(State.QUEUED), Job.task == task)
        firsts += s.scalars(query.order_by(Job.queued_at).limit(1))
    return min(firsts, default=None)


def oldest_queued(s: Session, tenant: str) -> Job | None:
    """This tenant's job that was submitted first of those that wait."""
    found: list[Job] = []
    for task in QUEUE:
        query = select(Job).where(Job.tenant == tenant, Job.task == task, Job.state == State.QUEUED)
        found += s.scalars(query.order_by(Job.id).limit(1))
    return min(found, key=lambda job: job.id, default=None)
