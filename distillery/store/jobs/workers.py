"""Worker heartbeats, which explain why a queued job has not started."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Worker
from distillery.store.db.upsert import upsert

ALIVE_S = 30  # a worker without a heartbeat for this long counts as gone
DELETE_AFTER_S = 24 * 3600


def record_heartbeat(s: Session, name: str, slots: int, trouble: str | None = None) -> None:
    """Record that a worker is alive and how many jobs it runs; call it a few times per ALIVE_S.

    `trouble`: why the worker takes no job at present.
    """
    now = db_now(s)
    row = {"name": name, "slots": slots, "started_at": now, "seen_at": now}
    row |= {"trouble": None if trouble is None else trouble[:200]}
    upsert(s, Worker, [row], "slots", "seen_at", "trouble")


def remove_worker(s: Session, name: str) -> None:
    """Delete the row of a worker that stops in good order."""
    s.execute(delete(Worker).where(Worker.name == name))


def alive(s: Session) -> list[Worker]:
    """Return the workers with a heartbeat in the last ALIVE_S seconds."""
    return list(s.scalars(select(Worker).where(Worker.seen_at >= db_now(s) - ALIVE_S * 1000)))


def delete_dead(s: Session) -> None:
    """Delete the rows of workers that have been gone for a day."""
    s.execute(delete(Worker).where(Worker.seen_at < db_now(s) - DELETE_AFTER_S * 1000))
