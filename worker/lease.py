"""The lease: a thread of its own renews an attempt's claim, and knows when it must stop.

Beats go on beside whatever the attempt is doing (copying a large dataset, waiting for the store),
on database connections of their own. The clock is the one that goes on while a machine sleeps: a
worker that was stopped for a while must know so at once when it wakes.
"""

import logging
import time
from typing import Literal

from sqlalchemy import select

from distillery.store import jobs
from distillery.store.db.database import Database
from distillery.store.db.tables import Job
from distillery.store.errors import LeaseLost, Unavailable
from distillery.store.jobs import Claim
from distillery.wire.states import State
from distillery.worker import metrics
from distillery.worker.config import WorkerSettings
from distillery.worker.periodic import Periodic
from kdcore.spec.failpoints import failpoint

Request = Literal["cancel", "pause"]
logger = logging.getLogger(__name__)


def clock_s() -> float:
    """Seconds that go on in a sleeping machine and never go back."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """Keeps a claim alive while the `with` block lasts. May be read from any thread."""

    def __init__(self, database: Database, claim: Claim, settings: WorkerSettings):
        self._database = database
        self._claim = claim
        self._settings = settings
        self._renewed_s = clock_s()
        self._periodic = Periodic(f"lease-{claim.job_id}", settings.tick_s, self._keep)
        self.lost = False
        self.request: Request | None = None  # as the job's row says

    def __enter__(self) -> "Lease":
        self._periodic.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._periodic.__exit__()  # a beat that comes late is refused by the database

    @property
    def silence_s(self) -> float:
        """Since the last renewal that is known to have happened."""
        return clock_s() - self._renewed_s

    @property
    def is_doubtful(self) -> bool:
        """Half a lease went by in silence: stop now, before somebody else may start."""
        return self.silence_s >= self._settings.lease_s / 2

    def check(self) -> None:
        """Raises LeaseLost when the job is known to be another's."""
        if self.lost:
            raise LeaseLost("the job is no longer this attempt's")

    def _keep(self) -> None:
        metrics.TICKS.inc()
        try:
            if self.silence_s >= self._settings.heartbeat_s:
                self._renew()
            else:
                self._look()
        except LeaseLost:
            self.lost = True
        except Unavailable as error:
            metrics.RENEWAL_FAILURES.inc()
            logger.warning("no beat: %s", error)

    def _renew(self) -> None:
        asked_s = clock_s()  # before the call: its answer may be slow, the renewal came earlier
        failpoint("lease.renewing")
        with self._database.write() as session:
            stop_reason = jobs.renew_lease(session, self._claim, self._settings.lease_s)
        self.request = _request(stop_reason)
        failpoint("lease.renewed")
        self._renewed_s = asked_s
        metrics.RENEWALS.inc()

    def _look(self) -> None:
        """Read the row between renewals, to see a request or that the job is another's."""
        query = select(Job.request, Job.attempt, Job.state).where(Job.id == self._claim.job_id)
        with self._database.read() as session:
            row = session.execute(query).one_or_none()
        if row is None or (row.attempt, row.state) != (self._claim.attempt, State.RUNNING):
            raise LeaseLost("the job is no longer this attempt's")
        self.request = _request(row.request)


def _request(text: str | None) -> Request | None:
    match text:
        case "cancel" | "pause":
            return text
        case _:
            return None
