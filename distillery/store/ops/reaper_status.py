"""How the reaper does, in one row of the database: whoever looks sees that it is late."""

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Blob, ReaperStatus
from distillery.store.db.upsert import insert_missing

NAME = "reaper"  # of the one row, however many reapers there are
LATE_S = 30  # no reaper for so long, or for four times its interval, is late
WEIGH_EVERY_S = 600


def record(
    s: Session, *, every_s: float, took_s: float, reclaimed: int, blob_bytes: int | None
) -> None:
    """Say that a reaper is done. `blob_bytes` as `weigh` told."""
    now = db_now(s)
    zeros = dict.fromkeys(("at", "every_ms", "took_ms", "count", "reclaimed", "blobs_at"), 0)
    insert_missing(s, ReaperStatus, [{"name": NAME, **zeros}])
    weighed = {} if blob_bytes is None else {"blob_bytes": blob_bytes, "blobs_at": now}
    s.execute(
        update(ReaperStatus)
        .where(ReaperStatus.name == NAME)
        .values(
            at=now,
            every_ms=int(every_s * 1000),
            took_ms=int(took_s * 1000),
            count=ReaperStatus.count + 1,
            reclaimed=ReaperStatus.reclaimed + reclaimed,
            **weighed,
        )
    )


def weigh(s: Session) -> int | None:
    """Bytes of all blobs, which takes a walk through them; None where that was done lately."""
    last = latest(s)
    if last is not None and db_now(s) - last.blobs_at < WEIGH_EVERY_S * 1000:
        return None
    return int(s.scalar(select(func.coalesce(func.sum(Blob.size), 0))) or 0)


def latest(s: Session) -> ReaperStatus | None:
    """What the last reaper noted; None before the first."""
    return s.get(ReaperStatus, NAME)


def is_late(s: Session) -> bool:
    """Whether a reaper is overdue, or there has never been one."""
    last = latest(s)
    return last is None or db_now(s) - last.at > max(LATE_S * 1000, 4 * last.every_ms)
