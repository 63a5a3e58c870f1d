"""Finished jobs that were kept long enough, with all that hangs on them: rows in small batches."""

from sqlalchemy import Select, delete, func, select, tuple_
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Artifact, Attempt, Event, Job, MetricPoint, Transition
from distillery.store.ops.retention.usage import MS_PER_S, Usage
from distillery.wire.states import TERMINAL

ROWS = 1000  # deleted in one transaction, which others may have to wait for


def count(s: Session, tenant: str | None, keep_s: float | None) -> Usage:
    """What would go; the bytes are those of the artifacts."""
    if keep_s is None:
        return Usage("jobs")
    ids = _over(s, tenant, keep_s).subquery()
    jobs = s.scalar(select(func.count()).select_from(ids)) or 0
    artifacts = select(func.coalesce(func.sum(Artifact.size), 0))
    size = s.scalar(artifacts.where(Artifact.job_id.in_(select(ids.c.id)))) or 0
    return Usage("jobs", jobs, int(size))


def collect(s: Session, tenant: str | None, keep_s: float | None) -> tuple[Usage, bool]:
    """Delete some rows of the job that ended first; what has gone whole, and whether to go on.

    A retry in between keeps the job, though not what had gone already.
    """
    if keep_s is None:
        return Usage("jobs"), False
    query = _over(s, tenant, keep_s).order_by(Job.finished_at, Job.id).limit(1)
    job_id = s.scalar(query.with_for_update(skip_locked=True))
    if job_id is None:
        return Usage("jobs"), False
    if _some_went(s, MetricPoint, job_id) or _some_went(s, Event, job_id):
        return Usage("jobs"), True
    size = sum(s.scalars(select(Artifact.size).where(Artifact.job_id == job_id)))
    for table in (Artifact, Transition, Attempt):
        s.execute(delete(table).where(table.job_id == job_id))
    s.execute(delete(Job).where(Job.id == job_id))
    return Usage("jobs", 1, size), True


def _over(s: Session, tenant: str | None, keep_s: float) -> Select[str]:
    before = db_now(s) - int(keep_s * MS_PER_S)
    query = select(Job.id).where(Job.finished_at < before, Job.state.in_(TERMINAL))
    return query if tenant is None else query.where(Job.tenant == tenant)


def _some_went(s: Session, table: type[MetricPoint] | type[Event], job_id: str) -> bool:
    """Delete up to ROWS rows of a job; whether there were so many that more may be left."""
    key = table.__mapper__.primary_key
    some = select(*key).where(table.job_id == job_id).limit(ROWS)
    gone = s.execute(
        delete(table).where(tuple_(*key).in_(some)).returning(table.job_id),
        execution_options={"synchronize_session": False},
    )
    return len(gone.all()) == ROWS
