"""Corrects times that lie too far ahead because the database's clock was set back."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.store.jobs.move import LONGEST_BACKOFF_S
from distillery.store.jobs.partial import in_state
from distillery.wire.states import State


def clamp_leases(s: Session, longest_s: float) -> None:
    """Shorten leases to at most `longest_s` from now.

    Live workers renew theirs long before; those of dead workers would otherwise lapse late.
    """
    latest = db_now(s) + int(longest_s * 1000)
    s.execute(
        update(Job)
        .where(in_state(State.RUNNING), Job.lease_until > latest)
        .values(lease_until=latest)
        .execution_options(synchronize_session=False)
    )


def clamp_backoffs(s: Session) -> None:
    """End backoffs that are longer than the longest one. Reads every queued job."""
    now = db_now(s)
    s.execute(
        update(Job)
        .where(in_state(State.QUEUED), Job.not_before > now + LONGEST_BACKOFF_S * 1000)
        .values(not_before=now)
        .execution_options(synchronize_session=False)
    )
