"""Reads jobs: one, or a page of them."""

from collections.abc import Iterable, Sequence
from typing import Literal

from sqlalchemy import Select, select, tuple_, union_all
from sqlalchemy.orm import InstrumentedAttribute, Session, defer

from distillery.store.db import cursors
from distillery.store.db.owned import get_owned
from distillery.store.db.tables import Job
from distillery.wire.states import State

Order = Literal["newest", "student_accuracy", "teacher_accuracy", "baseline_accuracy", "gain"]
_METRICS: dict[str, InstrumentedAttribute[float | None]] = {
    "student_accuracy": Job.student_accuracy,
    "teacher_accuracy": Job.teacher_accuracy,
    "baseline_accuracy": Job.baseline_accuracy,
    "gain": Job.gain,
}


def get(s: Session, tenant: str, job_id: str) -> Job:
    """Return a job of this tenant. Raises NotFound."""
    return get_owned(s, Job, tenant, job_id)


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
    """Return jobs without their `result`, and the cursor of the next page.

    Newest first, or best metric first; jobs without one come last. Raises Invalid `bad_cursor`.
    """
    query = select(Job).where(Job.tenant == tenant, Job.task == task)
    if order != "newest":
        return _page_by_metric(s, query, _METRICS[order], state, limit, after)
    if state is not None:
        query = query.where(Job.state == state)
    return cursors.page_by_id(s, _without_result(query), Job.id, limit, after)


def _page_by_metric(
    s: Session,
    query: Select[Job],
    column: InstrumentedAttribute[float | None],
    state: State | None,
    limit: int,
    after: str | None,
) -> tuple[list[Job], str | None]:
    """Return the jobs with a value, which have all succeeded, then those without; each of the two
    is read in the order of an index."""
    value, last = (
        (None, None) if after is None else cursors.decode(after, (float, int, type(None)), str)
    )
    rows: list[Job] = []
    if state in (None, State.SUCCEEDED) and (last is None or value is not None):
        rated = query.where(Job.state == State.SUCCEEDED, column.is_not(None))
        if last is not None:
            rated = rated.where(tuple_(column, Job.id) < tuple_(value, last))
        rows += s.scalars(
            _without_result(rated).order_by(column.desc(), Job.id.desc()).limit(limit + 1)
        )
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
    """Return the newest jobs of these states without a value.

    Reads up to `limit` of each state, which are adjacent in an index, and merges them.
    """
    query = query.where(column.is_(None))
    each = [
        query.with_only_columns(Job.id)
        .where(Job.state == state)
        # The value is always NULL here; ordering by it lets PostgreSQL use the index.
        .order_by(column.desc(), Job.id.desc())
        .limit(limit)
        .subquery()
        for state in states
    ]
    ids = union_all(*(select(one.c.id) for one in each)).subquery()
    newest = select(ids.c.id).order_by(ids.c.id.desc()).limit(limit)
    # Fetched before the join, so that no planner starts with all jobs.
    chosen = list(s.scalars(newest))
    return s.scalars(_without_result(select(Job)).where(Job.id.in_(chosen)).order_by(Job.id.desc()))


def _without_result(query: Select[Job]) -> Select[Job]:
    """Leave out what a list does not show."""
    return query.options(defer(Job.result, raiseload=True))
