"""Teacher outputs stored by a run, for every later job of the same tenant.

A file is named by its key, the hash of everything that determines its content; kdcore makes and
checks both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from distillery.store.blobs import blobs
from distillery.store.db.database import db_now
from distillery.store.db.tables import TeacherOutput
from distillery.store.db.upsert import upsert


@dataclass(frozen=True)
class NewOutput:
    """A file that a run created or extended; its bytes are already in blob storage."""

    key: str
    teacher: str
    dataset: str
    sha256: str
    size: int


def find(s: Session, tenant: str, teachers: Sequence[str], dataset: str) -> Sequence[TeacherOutput]:
    """Return the outputs of these teachers on this dataset; both are sha256 of blobs."""
    query = select(TeacherOutput).where(
        TeacherOutput.tenant == tenant,
        TeacherOutput.dataset == dataset,
        TeacherOutput.teacher.in_(teachers),
    )
    return s.scalars(query.order_by(TeacherOutput.key)).all()


def save(
    s: Session, tenant: str, new: Sequence[NewOutput], used: Sequence[str], max_bytes: int
) -> None:
    """Save new files, replacing those of the same key, and record that the keys `used` were read.

    Beyond `max_bytes`, delete those unused for longest; their blobs are collected later.
    """
    now = db_now(s)
    for output in sorted(new, key=lambda output: output.sha256):
        blobs.record(s, blobs.Stored(output.sha256, output.size))
    rows = [
        {
            "tenant": tenant,
            "key": output.key,
            "teacher": output.teacher,
            "dataset": output.dataset,
            "blob": output.sha256,
            "size": output.size,
            "created_at": now,
            "used_at": now,
        }
        for output in new
    ]
    upsert(s, TeacherOutput, rows, "blob", "size", "used_at")
    mine = (TeacherOutput.tenant == tenant, TeacherOutput.key.in_(used))
    s.execute(update(TeacherOutput).where(*mine).values(used_at=now))
    _evict(s, tenant, max_bytes)


def _evict(s: Session, tenant: str, max_bytes: int) -> None:
    mine = TeacherOutput.tenant == tenant
    total = s.scalar(select(func.coalesce(func.sum(TeacherOutput.size), 0)).where(mine)) or 0
    if total <= max_bytes:
        return
    oldest = select(TeacherOutput).where(mine).order_by(TeacherOutput.used_at, TeacherOutput.key)
    for row in s.scalars(oldest.execution_options(populate_existing=True)).all():
        if total <= max_bytes:
            break
        total -= row.size
        s.delete(row)
    s.flush()
