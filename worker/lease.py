"""The lease of an attempt, renewed by a thread of its own.

Renewals continue while the attempt copies a large dataset or waits for the store, on database
connections of their own. Time is measured by the clock that runs on while the machine is suspended:
a worker that was suspended must notice an expired lease as soon as it resumes.
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
    """Seconds on a clock that never goes back and includes time in suspend."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """Renews a claim's lease while the `with` block lasts. Its attributes are safe to read from any
    thread."""

    def __init__(self, database: Database, claim: Claim, settings: WorkerSettings):
        self._database = database
        self._claim = claim
        self._settings = settings
        self._renewed_s = clock_s()
        self._periodic = Periodic(f"lease-{claim.job_id}", settings.tick_s, self._tick)
        self.lost = False
        self.request: Request | None = None  # as of the last check of the job's row

    def __enter__(self) -> "Lease":
        self._periodic.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._periodic.__exit__()  # the database refuses a renewal that comes too late

    @property
    def unrenewed_s(self) -> float:
        """Seconds since the last renewal that is known to have succeeded."""
        return clock_s() - self._renewed_s

    @property
    def is_half_over(self) -> bool:
        """Whether half of the lease has passed without a renewal: time to stop the run, before the
        lease lapses and another worker may start one."""
        return self.unrenewed_s >= self._settings.lease_s / 2

    def check(self) -> None:
        """Raise LeaseLost if another attempt is known to own the job."""
        if self.lost:
            raise LeaseLost("the job is no longer this attempt's")

    def _tick(self) -> None:
        metrics.LEASE_CHECKS.inc()
        try:
            if self.unrenewed_s >= self._settings.heartbeat_s:
                self._renew()
            else:
                self._read_row()
        except LeaseLost:
            self.lost = True
        except Unavailable as error:
            metrics.LEASE_CHECK_FAILURES.inc()
            logger.warning("cannot check the lease: %s", error)

    def _renew(self) -> None:
        asked_s = clock_s()  # before the call: the lease runs from the write, not from the answer
        failpoint("lease.renewing")
        with self._database.write() as session:
            request = jobs.renew_lease(session, self._claim, self._settings.lease_s)
        self.request = _request(request)
        failpoint("lease.renewed")
        self._renewed_s = asked_s
        metrics.RENEWALS.inc()

    def _read_row(self) -> None:
        """Between renewals, reading is enough to see a request or the loss of the job."""
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
