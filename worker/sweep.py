"""One sweep: lapsed leases, a new ring where one was lost; beside it, what was kept long enough."""

import logging
from pathlib import Path

from bell import ring
from store import jobs
from store.db import Database
from store.errors import StoreError, Unavailable
from store.retention import Collector
from worker.logfile import log_tail
from worker.ticker import Ticker

logger = logging.getLogger(__name__)
COLLECT_EVERY_S = 60.0
COLLECT_WITHIN_S = 20.0
BYTES_EVERY_S = 3600.0


def sweep(database: Database, bell: ring.Bell, runs: Path) -> None:
    """Sweep once; an unreachable database is left to the next sweep. `runs`: the run directories,
    where a silent worker's can be read from here."""
    try:
        with database.write() as session:
            report = jobs.sweep(session, lambda job, number: log_tail(runs / job / str(number)))
    except Unavailable as error:
        logger.warning("waiting for the database: %s", error)
        return
    for job_id in report.lapsed:
        logger.warning("%s: its worker fell silent; the lease was taken back", job_id)
    if report.waiting and bell.waiting() == 0:
        # Rings that nobody takes must not pile up while no worker is there, hence the count.
        for job_id in report.waiting:
            bell.ring(job_id)


def collecting(collector: Collector) -> Ticker:
    """A thread of its own that lets go of what was kept long enough: no lease may wait for it."""
    return Ticker("retention", COLLECT_EVERY_S, lambda: collect(collector))


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
