"""The reaper's status, in one row of the database, which shows when the reaper is late."""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Blob, ReaperStatus
from distillery.store.db.upsert import insert_missing

NAME = "reaper"  # of the only row, for any number of reapers
LATE_S = 30  # late after this long, or after four times the interval, without a pass
MEASURE_EVERY_S = 600


def record(
    s: Session, *, every_s: float, took_s: float, reclaimed: int, blob_bytes: int | None
) -> None:
    """Record a pass of the reaper. `blob_bytes`: from `measure_blobs`."""
    now = db_now(s)
    zeros = dict.fromkeys(("at", "every_ms", "took_ms", "count", "reclaimed", "blobs_at"), 0)
    insert_missing(s, ReaperStatus, [{"name": NAME, **zeros}])
    measured = {} if blob_bytes is None else {"blob_bytes": blob_bytes, "blobs_at": now}
    s.execute(
        update(ReaperStatus)
        .where(ReaperStatus.name == NAME)
        .values(
            at=now,
            every_ms=int(every_s * 1000),
            took_ms=int(took_s * 1000),
            count=ReaperStatus.count + 1,
            reclaimed=ReaperStatus.reclaimed + reclaimed,
            **measured,
        )
    )


def measure_blobs(s: Session) -> int | None:
    """Return the bytes of all blobs, which reads every row; None if that was done recently."""
    last = latest(s)
    if last is not None and db_now(s) - last.blobs_at < MEASURE_EVERY_S * 1000:
        return None
    return int(s.scalar(select(func.coalesce(func.sum(Blob.size), 0))) or 0)


def latest(s: Session) -> ReaperStatus | None:
    """Return the status after the last pass; None before the first."""
    return s.get(ReaperStatus, NAME)


def is_late(s: Session) -> bool:
    """Whether the reaper is overdue, or has never run."""
    last = latest(s)
    return last is None or db_now(s) - last.at > max(LATE_S * 1000, 4 * last.every_ms)
