"""One sweep: lapsed leases, what has expired, and a new ring for jobs whose ring was lost."""

import logging
import time

from bell import ring
from store import jobs, sweeps, teacher_outputs, uploads
from store.blobs import Blobs
from store.db import Database
from store.errors import Unavailable
from store.parts import Parts
from telemetry.logs import log_fields

logger = logging.getLogger(__name__)


def sweep(
    database: Database,
    parts: Parts,
    blobs: Blobs,
    bell: ring.Bell,
    keep_outputs_s: float,
    every_s: float,
) -> None:
    """Sweep once; an unreachable database is left to the next sweep, due after `every_s`."""
    began_s = time.monotonic()
    try:
        with database.write() as session:
            report = jobs.sweep(session)
        with database.write() as session:
            expired = uploads.expire(session, parts)
        with database.write() as session:
            unused = teacher_outputs.expire(session, keep_outputs_s)
        with database.read() as session:
            weight = sweeps.weigh(session)
        took_s = time.monotonic() - began_s
        with database.write() as session:
            rescued = len(report.lapsed)
            sweeps.note(session, every_s=every_s, took_s=took_s, rescued=rescued, blob_bytes=weight)
    except Unavailable as error:
        logger.warning("waiting for the database: %s", error)
        return
    for job_id in report.lapsed:
        message = "its worker fell silent; the lease was taken back"
        log_fields(logger, logging.WARNING, message, job=job_id)
    for upload_id in expired:
        log_fields(logger, logging.INFO, "the upload expired", upload=upload_id)
    for sha256 in unused:
        logger.info("teacher outputs %s: not used for long, deleted", sha256)
        blobs.delete(sha256)
    if report.waiting and bell.waiting() == 0:
        # Rings that nobody takes must not pile up while no worker is there, hence the count.
        for job_id in report.waiting:
            bell.ring(job_id)
