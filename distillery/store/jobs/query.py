"""Looking at jobs: one, or a page of them."""

from collections.abc import Iterable, Sequence
from typing import Literal

from sqlalchemy import Select, select, tuple_, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session, defer

from distillery.store.db import cursors
from distillery.store.db.tables import Job
from distillery.store.errors import NotFound
from distillery.wire.states import State

Order = Literal["newest", "student_accuracy", "teacher_accuracy", "baseline_accuracy", "gain"]
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
    if order != "newest":
        return _page_by_metric(s, query, _METRICS[order], state, limit, after)
    if state is not None:
        query = query.where(Job.state == state)
    return cursors.page_by_id(s, _light(query), Job.id, limit, after)


def _page_by_metric(
    s: Session,
    query: Select[Job],
    column: InstrumentedAttribute[float | None],
    state: State | None,
    limit: int,
    after: str | None,
) -> tuple[list[Job], str | None]:
    """First the jobs with a value, which have all succeeded, then those without: each part walks
    an index as it lies."""
    value, last = (
        (None, None) if after is None else cursors.decode(after, (float, int, type(None)), str)
    )
    rows: list[Job] = []
    if state in (None, State.SUCCEEDED) and (last is None or value is not None):
        rated = query.where(Job.state == State.SUCCEEDED, column.is_not(None))
        if last is not None:
            rated = rated.where(tuple_(column, Job.id) < tuple_(value, last))
        rows += s.scalars(_light(rated).order_by(column.desc(), Job.id.desc()).limit(limit + 1))
    if len(rows) <= limit:
        rest = query if last is None or value is not None else query.where(Job.id < last)
        states = tuple(State) if state is None else (state,)
        rows += _newest_unrated(s, rest, column, states, limit + 1 - len(rows))
    if len(rows) <= limit:
        return rows, None
    end = rows[limit - 1]
    return rows[:limit], cursors.encode(getattr(end, column.key), end.id)


def _newest_unrated(
    s: Session,
    query: Select[Job],
    column: InstrumentedAttribute[float | None],
    states: Sequence[State],
    limit: int,
) -> Iterable[Job]:
    """The newest jobs of these states without a value: so many of each state first, which lie
    together."""
    query = query.where(column.is_(None))
    each = [
        query.with_only_columns(Job.id)
        .where(Job.state == state)
        # PostgreSQL does not see that ids lie in order where the value is always NULL.
        .order_by(column.desc(), Job.id.desc())
        .limit(limit)
        .subquery()
        for state in states
    ]
    ids = union_all(*(select(one.c.id) for one in each)).subquery()
    newest = select(ids.c.id).order_by(ids.c.id.desc()).limit(limit)
    # Fetched before they are joined: no planner can then think of starting with all jobs.
    found = list(s.scalars(newest))
    return s.scalars(_light(select(Job)).where(Job.id.in_(found)).order_by(Job.id.desc()))


def _light(query: Select[Job]) -> Select[Job]:
    """Without what the list does not show."""
    return query.options(defer(Job.result, raiseload=True))
