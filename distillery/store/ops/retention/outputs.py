"""Deletes teacher outputs that no job has used for a long time."""

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from distillery.store.db.tables import TeacherOutput
from distillery.store.ops.retention.usage import Usage, cutoff_ms, usage

ROWS = 200


def count(s: Session, tenant: str | None, keep_s: float) -> Usage:
    """Return what would be deleted."""
    rows = _unused(s, tenant, keep_s).subquery()
    number, size = s.execute(select(func.count(), func.coalesce(func.sum(rows.c.size), 0))).one()
    return Usage("teacher_outputs", number, int(size))


def collect(s: Session, tenant: str | None, keep_s: float) -> tuple[Usage, bool]:
    """Delete some rows and return whether there may be more; their blobs are collected later."""
    query = _unused(s, tenant, keep_s).limit(ROWS)
    rows = s.scalars(query.with_for_update(skip_locked=True)).all()
    for row in rows:
        s.delete(row)
    s.flush()
    return usage("teacher_outputs", (row.size for row in rows)), len(rows) == ROWS


def _unused(s: Session, tenant: str | None, keep_s: float) -> Select[TeacherOutput]:
    query = select(TeacherOutput).where(TeacherOutput.used_at < cutoff_ms(s, keep_s))
    return query if tenant is None else query.where(TeacherOutput.tenant == tenant)
