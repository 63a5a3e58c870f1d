"""Requeues lapsed jobs, notifies workers of waiting ones, and deletes what has expired."""

import logging
import time
from pathlib import Path

from distillery.broker import notify
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
LONGEST = 2  # times our own lease: workers may have been started with a longer one
COLLECT_EVERY_S = 60.0
COLLECT_WITHIN_S = 20.0
BYTES_EVERY_S = 3600.0


def reap(
    database: Database,
    parts: UploadParts,
    blobs: Blobs,
    notifier: notify.Notifier,
    clock: ClockGuard,
    runs: Path,
    every_s: float,
) -> None:
    """Reaps once; an unreachable database is left to the next run, due after `every_s`. `runs`:
    the run directories, where a silent worker's can be read from here."""
    began_s = time.monotonic()
    try:
        report = _judge(database, clock, runs)
        with database.read() as session:
            weight = reaper_status.weigh(session)
        took_s = time.monotonic() - began_s
        with database.write() as session:
            rescued = len(report.lapsed)
            reaper_status.record(
                session, every_s=every_s, took_s=took_s, rescued=rescued, blob_bytes=weight
            )
    except Unavailable as error:
        logger.warning("waiting for the database: %s", error)
        return
    if report.lapsed:
        failpoint("reaper.committed")
    parts.remove_abandoned()
    blobs.remove_abandoned()
    for job_id in report.lapsed:
        message = "its worker fell silent; the lease was taken back"
        log_fields(logger, logging.WARNING, message, job=job_id)
    if report.waiting and _nobody_notified(notifier):
        for job_id in report.waiting:
            notifier.notify(job_id)


def _judge(database: Database, clock: ClockGuard, runs: Path) -> jobs.ReaperReport:
    with database.write() as session:
        clock.look(db_now(session))
        jobs.rein_in_leases(session, LONGEST * clock.lease_s)
        if clock.was_set:
            jobs.rein_in_backoffs(session)
        report = jobs.reap(
            session, lambda job, number: log_tail(runs / job / str(number)), judge=not clock.rests
        )
        if report.lapsed:
            failpoint("reaper.committing")
    return report


def collecting(collector: Collector) -> Periodic:
    """A thread of its own that lets go of what was kept long enough: no lease may wait for it."""
    return Periodic("retention", COLLECT_EVERY_S, lambda: collect(collector))


def collect(collector: Collector) -> None:
    """Let go of some, or all."""
    try:
        gone, _ = collector.collect(None, COLLECT_WITHIN_S)
    except StoreError as error:
        logger.warning("nothing is let go of now: %s", error)
    except Exception as error:  # a thread's outermost seam; the next time may do better
        logger.error("retention broke", exc_info=error)
    else:
        for found in gone:
            if found.count:
                logger.info("let go of %s %s, %s bytes", found.count, found.kind, found.size)


def _nobody_notified(notifier: notify.Notifier) -> bool:
    """Counted because notifications must not pile up while there is no worker."""
    try:
        return notifier.waiting() == 0
    except Exception as error:  # noqa: BLE001 - kombu lets every driver's own errors through
        logger.warning("waiting for the broker: %r", error)
        return False
