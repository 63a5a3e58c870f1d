"""One sweep: lapsed leases, what has expired, and a new ring for jobs whose ring was lost."""

import logging

from bell import ring
from kdcore.spec.failpoints import failpoint
from store import jobs, teacher_outputs, uploads
from store.blobs import Blobs
from store.db import Database, db_now
from store.errors import Unavailable
from store.parts import Parts
from worker.steady import SteadyClock

logger = logging.getLogger(__name__)
LONGEST = 2  # times our own lease: workers may have been started with a longer one


def sweep(
    database: Database,
    parts: Parts,
    blobs: Blobs,
    bell: ring.Bell,
    clock: SteadyClock,
    keep_outputs_s: float,
) -> None:
    """Sweep once; an unreachable database is left to the next sweep."""
    try:
        with database.write() as session:
            clock.look(db_now(session))
            jobs.rein_in_leases(session, LONGEST * clock.lease_s)
            if clock.was_set:
                jobs.rein_in_backoffs(session)
            report = jobs.sweep(session, judge=not clock.rests)
            if report.lapsed:
                failpoint("sweep.committing")
        with database.write() as session:
            expired = uploads.expire(session, parts)
        with database.write() as session:
            unused = teacher_outputs.expire(session, keep_outputs_s)
    except Unavailable as error:
        logger.warning("waiting for the database: %s", error)
        return
    if report.lapsed:
        failpoint("sweep.committed")
    parts.remove_abandoned()
    blobs.remove_abandoned()
    for job_id in report.lapsed:
        logger.warning("%s: its worker fell silent; the lease was taken back", job_id)
    for upload_id in expired:
        logger.info("%s: expired", upload_id)
    for sha256 in unused:
        logger.info("teacher outputs %s: not used for long, deleted", sha256)
        blobs.delete(sha256)
    if report.waiting and _nobody_rang(bell):
        for job_id in report.waiting:
            bell.ring(job_id)


def _nobody_rang(bell: ring.Bell) -> bool:
    """Rings that nobody takes must not pile up while no worker is there, hence the count."""
    try:
        return bell.waiting() == 0
    except Exception as error:  # noqa: BLE001 - kombu lets every driver's own errors through
        logger.warning("waiting for the broker: %r", error)
        return False
