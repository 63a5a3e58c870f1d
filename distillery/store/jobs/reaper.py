"""The reaper: jobs whose worker fell silent go back to the queue, and waiting ones are named."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store import idempotency
from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.store.jobs import workers
from distillery.store.jobs.claim import claimable
from distillery.store.jobs.move import bury, failure
from distillery.store.jobs.partial import in_state
from distillery.wire.job_codes import JobCode
from distillery.wire.states import State

_BATCH = 200


@dataclass(frozen=True)
class ReaperReport:
    """Ids: `lapsed` lost their worker and were moved; notify workers of each of `waiting`."""

    lapsed: list[str]
    waiting: list[str]


def reap(
    s: Session, last_words: Callable[[str, int], str] = lambda *_: "", *, judge: bool = True
) -> ReaperReport:
    """One pass; any number of reapers may run at once. Also drops what has gone stale.

    `last_words`: the end of the log of a job's attempt, where it can be read from here. Without
    `judge` no lease is taken back: the clock has just been set.
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
    for job in s.scalars(query).all() if judge else ():
        said = f"worker {job.worker} fell silent\n{last_words(job.id, job.attempt)}".rstrip()
        error = failure(JobCode.WORKER_LOST, said)
        if bury(s, job, now, error) is not None:
            lapsed.append(job.id)
    idempotency.forget_old(s)
    workers.forget_dead(s)
    return ReaperReport(lapsed, claimable(s, _BATCH))
