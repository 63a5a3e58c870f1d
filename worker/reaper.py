"""Requeues jobs whose lease lapsed, notifies workers of waiting ones, and deletes expired data."""

import logging
import time
from pathlib import Path

from distillery.broker.depth import notifications_waiting
from distillery.broker.notify import Notifier
from distillery.store import jobs
from distillery.store.blobs.blobs import Blobs
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.db.database import Database, db_now
from distillery.store.errors import StoreError, Unavailable
from distillery.store.ops import reaper_status
from distillery.store.ops.retention import Collector
from distillery.telemetry.logs import log_fields
from distillery.worker.clock_guard import ClockGuard
from distillery.worker.logfile import log_tail
from distillery.worker.periodic import Periodic
from kdcore.spec.failpoints import failpoint

logger = logging.getLogger(__name__)
MAX_LEASES = (
    2  # longest lease, in leases of this reaper: workers may be configured with longer ones
)
COLLECT_EVERY_S = 60.0
COLLECT_WITHIN_S = 20.0
SCAN_EVERY_S = 3600.0


def reap(
    database: Database,
    parts: UploadParts,
    blobs: Blobs,
    notifier: Notifier,
    clock: ClockGuard,
    runs: Path,
    every_s: float,
) -> None:
    """Make one pass. If the database is unreachable, leave it to the next pass in `every_s`.

    `runs`: the run directories, to quote the log of a lost run where they can be read from here.
    """
    started_s = time.monotonic()
    try:
        report = _reap_leases(database, clock, runs)
        with database.read() as session:
            weight = reaper_status.measure_blobs(session)
        took_s = time.monotonic() - started_s
        with database.write() as session:
            reclaimed = len(report.lapsed)
            reaper_status.record(
                session, every_s=every_s, took_s=took_s, reclaimed=reclaimed, blob_bytes=weight
            )
    except Unavailable as error:
        logger.warning("waiting for the database: %s", error)
        return
    if report.lapsed:
        failpoint("reaper.committed")
    parts.remove_abandoned()
    blobs.remove_abandoned()
    for job_id in report.lapsed:
        log_fields(logger, logging.WARNING, "the lease lapsed; the attempt is over", job=job_id)
    if report.waiting and _is_queue_empty(notifier):
        for job_id in report.waiting:
            notifier.notify(job_id)


def _reap_leases(database: Database, clock: ClockGuard, runs: Path) -> jobs.ReaperReport:
    with database.write() as session:
        clock.check(db_now(session))
        jobs.clamp_leases(session, MAX_LEASES * clock.lease_s)
        if clock.was_set:
            jobs.clamp_backoffs(session)
        report = jobs.reap(
            session,
            lambda job, number: log_tail(runs / job / str(number)),
            reclaim=not clock.is_paused,
        )
        if report.lapsed:
            failpoint("reaper.committing")
    return report


def collecting(collector: Collector) -> Periodic:
    """A thread that deletes expired data. Leases are reaped by another, which must not wait."""
    return Periodic("retention", COLLECT_EVERY_S, lambda: collect(collector))


def collect(collector: Collector) -> None:
    """Delete expired data for COLLECT_WITHIN_S at most."""
    try:
        gone, _ = collector.collect(None, COLLECT_WITHIN_S)
    except StoreError as error:
        logger.warning("cannot delete expired data now: %s", error)
    except Exception as error:  # the thread must survive; the next call may succeed
        logger.error("deleting expired data failed", exc_info=error)
    else:
        for found in gone:
            if found.count:
                logger.info("deleted %s %s, %s bytes", found.count, found.kind, found.size)


def _is_queue_empty(notifier: Notifier) -> bool:
    """Notifications must not pile up while there is no worker to take them."""
    try:
        return notifications_waiting(notifier.app) == 0
    except Exception as error:  # noqa: BLE001 - kombu lets every driver's own errors through
        logger.warning("waiting for the broker: %r", error)
        return False
