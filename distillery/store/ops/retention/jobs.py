"""Deletes finished jobs whose retention period has expired, in small batches of rows."""

from sqlalchemy import Select, delete, func, select, tuple_
from sqlalchemy.orm import Session

from distillery.store.db.tables import Artifact, Attempt, Event, Job, MetricPoint, Transition
from distillery.store.ops.retention.usage import Usage, cutoff_ms
from distillery.wire.states import TERMINAL

ROWS = 1000  # deleted in one transaction, for which other writers may have to wait


def count(s: Session, tenant: str | None, keep_s: float | None) -> Usage:
    """Return what would be deleted, with the bytes of artifacts."""
    if keep_s is None:
        return Usage("jobs")
    ids = _expired(s, tenant, keep_s).subquery()
    jobs = s.scalar(select(func.count()).select_from(ids)) or 0
    artifacts = select(func.coalesce(func.sum(Artifact.size), 0))
    size = s.scalar(artifacts.where(Artifact.job_id.in_(select(ids.c.id)))) or 0
    return Usage("jobs", jobs, int(size))


def collect(s: Session, tenant: str | None, keep_s: float | None) -> tuple[Usage, bool]:
    """Delete some rows of the job that finished first; return what is gone and whether to go on.

    A retry between two calls keeps the job, but not the rows that were deleted already.
    """
    if keep_s is None:
        return Usage("jobs"), False
    query = _expired(s, tenant, keep_s).order_by(Job.finished_at, Job.id).limit(1)
    job_id = s.scalar(query.with_for_update(skip_locked=True))
    if job_id is None:
        return Usage("jobs"), False
    if _delete_some(s, MetricPoint, job_id) or _delete_some(s, Event, job_id):
        return Usage("jobs"), True
    size = sum(s.scalars(select(Artifact.size).where(Artifact.job_id == job_id)))
    for table in (Artifact, Transition, Attempt):
        s.execute(delete(table).where(table.job_id == job_id))
    s.execute(delete(Job).where(Job.id == job_id))
    return Usage("jobs", 1, size), True


def _expired(s: Session, tenant: str | None, keep_s: float) -> Select[str]:
    before = Job.finished_at < cutoff_ms(s, keep_s)
    query = select(Job.id).where(before, Job.state.in_(TERMINAL))
    return query if tenant is None else query.where(Job.tenant == tenant)


def _delete_some(s: Session, table: type[MetricPoint] | type[Event], job_id: str) -> bool:
    """Delete up to ROWS rows of a job; return whether there may be more."""
    key = table.__mapper__.primary_key
    some = select(*key).where(table.job_id == job_id).limit(ROWS)
    deleted = s.execute(
        delete(table).where(tuple_(*key).in_(some)).returning(table.job_id),
        execution_options={"synchronize_session": False},
    )
    return len(deleted.all()) == ROWS
