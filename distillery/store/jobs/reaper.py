"""The reaper: requeues jobs whose lease has lapsed, and lists those that wait for a worker."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store import idempotency
from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.store.jobs import workers
from distillery.store.jobs.claim import claimable
from distillery.store.jobs.move import failure, requeue_or_fail
from distillery.store.jobs.partial import in_state
from distillery.wire.job_codes import JobCode
from distillery.wire.states import State

_BATCH = 200


@dataclass(frozen=True)
class ReaperReport:
    """Ids of jobs: `lapsed` were taken from their workers; notify workers of `waiting`."""

    lapsed: list[str]
    waiting: list[str]


def reap(
    s: Session, log_tail: Callable[[str, int], str] = lambda *_: "", *, reclaim: bool = True
) -> ReaperReport:
    """Make one pass; several reapers may run concurrently. Also deletes stale rows.

    `log_tail`: returns the end of the log of a job's attempt, if it can be read from here. Pass
    `reclaim=False` after the clock was set: lapsed leases are then left alone.
    """
    now = db_now(s)
    query = (
        select(Job)
        .where(in_state(State.RUNNING), Job.lease_until < now)
        .order_by(Job.lease_until)
        .limit(_BATCH)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    lapsed = []
    for job in s.scalars(query).all() if reclaim else ():
        lost = f"worker {job.worker} stopped renewing its lease"
        error = failure(JobCode.WORKER_LOST, f"{lost}\n{log_tail(job.id, job.attempt)}".rstrip())
        if requeue_or_fail(s, job, now, error) is not None:
            lapsed.append(job.id)
    idempotency.delete_expired(s)
    workers.delete_dead(s)
    return ReaperReport(lapsed, claimable(s, _BATCH))
