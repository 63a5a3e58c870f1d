"""Teachers' outputs that no job has used for long."""

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import TeacherOutput
from distillery.store.ops.retention.usage import MS_PER_S, Usage, usage

ROWS = 200


def count(s: Session, tenant: str | None, keep_s: float) -> Usage:
    """What would go."""
    rows = _unused(s, tenant, keep_s).subquery()
    number, size = s.execute(select(func.count(), func.coalesce(func.sum(rows.c.size), 0))).one()
    return Usage("teacher_outputs", number, int(size))


def collect(s: Session, tenant: str | None, keep_s: float) -> tuple[Usage, bool]:
    """Delete some; whether to go on. Their bytes go with what nothing names."""
    query = _unused(s, tenant, keep_s).limit(ROWS)
    rows = s.scalars(query.with_for_update(skip_locked=True)).all()
    for row in rows:
        s.delete(row)
    s.flush()
    return usage("teacher_outputs", (row.size for row in rows)), len(rows) == ROWS


def _unused(s: Session, tenant: str | None, keep_s: float) -> Select[TeacherOutput]:
    before = db_now(s) - int(keep_s * MS_PER_S)
    query = select(TeacherOutput).where(TeacherOutput.used_at < before)
    return query if tenant is None else query.where(TeacherOutput.tenant == tenant)
