"""Looking at jobs: one, a page of them, and why one is still waiting."""

from typing import Literal

from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, defer

from store import cursors, workers
from store.db import db_now
from store.errors import NotFound
from store.states import State
from store.tables import Job

Order = Literal["newest", "student_accuracy", "teacher_accuracy", "baseline_accuracy", "gain"]
Waiting = Literal["backoff", "no_worker", "capacity"]
_METRICS: dict[str, InstrumentedAttribute[float | None]] = {
    "student_accuracy": Job.student_accuracy,
    "teacher_accuracy": Job.teacher_accuracy,
    "baseline_accuracy": Job.baseline_accuracy,
    "gain": Job.gain,
}


def get(s: Session, tenant: str, job_id: str) -> Job:
    """A job of this tenant. Raises NotFound."""
    job = s.get(Job, job_id)
    if job is None or job.tenant != tenant:
        raise NotFound(f"no job {job_id}")
    return job


def page(
    s: Session,
    tenant: str,
    *,
    limit: int = 50,
    after: str | None = None,
    state: State | None = None,
    task: str = "distill",
    order: Order = "newest",
) -> tuple[list[Job], str | None]:
    """Jobs without their `result`, and the cursor of the next page.

    Newest first, or highest metric first with jobs that have none last. Raises Invalid
    `bad_cursor`.
    """
    query = select(Job).where(Job.tenant == tenant, Job.task == task)
    query = query.options(defer(Job.result, raiseload=True))
    if state is not None:
        query = query.where(Job.state == state)
    if order == "newest":
        return cursors.page_by_id(s, query, Job.id, limit, after)
    return _page_by_metric(s, query, _METRICS[order], limit, after)


def _page_by_metric(
    s: Session,
    query: Select[Job],
    column: InstrumentedAttribute[float | None],
    limit: int,
    after: str | None,
) -> tuple[list[Job], str | None]:
    """First the jobs with a value, then those without: each part walks an index as it lies."""
    value, last = (
        (None, None) if after is None else cursors.decode(after, (float, int, type(None)), str)
    )
    rows: list[Job] = []
    if last is None or value is not None:
        rated = query.where(column.is_not(None)).order_by(column.desc(), Job.id.desc())
        if last is not None:
            rated = rated.where(tuple_(column, Job.id) < tuple_(value, last))
        rows += s.scalars(rated.limit(limit + 1))
    if len(rows) <= limit:
        rest = query.where(column.is_(None)).order_by(Job.id.desc())
        if last is not None and value is None:
            rest = rest.where(Job.id < last)
        rows += s.scalars(rest.limit(limit + 1 - len(rows)))
    if len(rows) <= limit:
        return rows, None
    end = rows[limit - 1]
    return rows[:limit], cursors.encode(getattr(end, column.key), end.id)


def waiting_for(s: Session, job: Job) -> Waiting | None:
    """Why a queued job has not started; None where it should start any moment, or has.

    `backoff`: an attempt died and the pause before the next is not over. `no_worker`: none has
    beaten lately. `capacity`: other jobs hold every slot.
    """
    if job.state is not State.QUEUED:
        return None
    if job.not_before > db_now(s):
        return "backoff"
    slots = sum(worker.slots for worker in workers.alive(s))
    if slots == 0:
        return "no_worker"
    running = s.scalar(select(func.count()).where(Job.state == State.RUNNING)) or 0
    return "capacity" if running >= slots else None
