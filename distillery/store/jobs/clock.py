"""What to do about times that lie too far ahead: the database's clock has been set back since."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.store.jobs.move import LONGEST_BACKOFF_S
from distillery.store.jobs.partial import in_state
from distillery.wire.states import State


def rein_in_leases(s: Session, longest_s: float) -> None:
    """No lease lasts for more than `longest_s` from now.

    Whoever lives renews its lease long before; whoever died is noticed although the clock that its
    lease went by has been set back.
    """
    latest = db_now(s) + int(longest_s * 1000)
    s.execute(
        update(Job)
        .where(in_state(State.RUNNING), Job.lease_until > latest)
        .values(lease_until=latest)
        .execution_options(synchronize_session=False)
    )


def rein_in_backoffs(s: Session) -> None:
    """No queued job waits longer than the longest backoff. Reads every queued job."""
    now = db_now(s)
    s.execute(
        update(Job)
        .where(in_state(State.QUEUED), Job.not_before > now + LONGEST_BACKOFF_S * 1000)
        .values(not_before=now)
        .execution_options(synchronize_session=False)
    )
