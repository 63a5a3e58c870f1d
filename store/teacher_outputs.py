"""Teachers' outputs that a run kept: found again for every later job of the same tenant.

A file is named by its key, the hash of all that decides its content; kdcore makes and checks both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from store import blobs
from store.db import db_now
from store.tables import Blob, TeacherOutput
from store.upsert import upsert

MS_PER_S = 1000


@dataclass(frozen=True)
class NewOutput:
    """A file that a run made or let grow; its bytes are already in blob storage."""

    key: str
    teacher: str
    dataset: str
    sha256: str
    size: int


def fitting(
    s: Session, tenant: str, teachers: Sequence[str], dataset: str
) -> Sequence[TeacherOutput]:
    """What is kept of these teachers on this dataset (sha256 of their blobs)."""
    query = select(TeacherOutput).where(
        TeacherOutput.tenant == tenant,
        TeacherOutput.dataset == dataset,
        TeacherOutput.teacher.in_(teachers),
    )
    return s.scalars(query.order_by(TeacherOutput.key)).all()


def keep(
    s: Session, tenant: str, new: Sequence[NewOutput], used: Sequence[str], max_bytes: int
) -> list[str]:
    """Keep new files in place of older ones of the same key, and note which keys were `used`.

    Of more than `max_bytes` the longest unused go. Returns blobs to delete after the commit.
    """
    now = db_now(s)
    gone = [row.blob for row in _rows(s, tenant, [output.key for output in new])]
    for output in new:
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
    gone += _evict(s, tenant, max_bytes)
    return forget(s, gone)


def expire(s: Session, unused_s: float) -> list[str]:
    """Let go what no job has used for so long. Returns blobs to delete after the commit."""
    before = db_now(s) - int(unused_s * MS_PER_S)
    rows = s.scalars(select(TeacherOutput).where(TeacherOutput.used_at < before)).all()
    gone = [row.blob for row in rows]
    for row in rows:
        s.delete(row)
    s.flush()
    return forget(s, gone)


def forget(s: Session, sha256s: Sequence[str]) -> list[str]:
    """Delete the rows of those blobs that nothing points at any more, and return them."""
    gone = []
    for sha256 in dict.fromkeys(sha256s):
        try:
            with s.begin_nested():
                s.execute(delete(Blob).where(Blob.sha256 == sha256))
        except IntegrityError:
            continue  # something else has the same bytes
        gone.append(sha256)
    return gone


def _rows(s: Session, tenant: str, keys: Sequence[str]) -> Sequence[TeacherOutput]:
    query = select(TeacherOutput).where(TeacherOutput.tenant == tenant)
    return s.scalars(query.where(TeacherOutput.key.in_(keys))).all()


def _evict(s: Session, tenant: str, max_bytes: int) -> list[str]:
    mine = TeacherOutput.tenant == tenant
    total = s.scalar(select(func.coalesce(func.sum(TeacherOutput.size), 0)).where(mine)) or 0
    gone: list[str] = []
    if total <= max_bytes:
        return gone
    oldest = select(TeacherOutput).where(mine).order_by(TeacherOutput.used_at, TeacherOutput.key)
    for row in s.scalars(oldest.execution_options(populate_existing=True)).all():
        if total <= max_bytes:
            break
        total -= row.size
        gone.append(row.blob)
        s.delete(row)
    s.flush()
    return gone
