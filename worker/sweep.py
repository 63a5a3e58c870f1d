"""One sweep: lapsed leases, expired uploads, and a new ring for jobs whose ring was lost."""

import logging

from bell import ring
from store import jobs, uploads
from store.db import Database
from store.errors import Unavailable
from store.parts import Parts

logger = logging.getLogger(__name__)


def sweep(database: Database, parts: Parts, bell: ring.Bell) -> None:
    """Sweep once; an unreachable database is left to the next sweep."""
    try:
        with database.write() as session:
            report = jobs.sweep(session)
        with database.write() as session:
            expired = uploads.expire(session, parts)
    except Unavailable as error:
        logger.warning("waiting for the database: %s", error)
        return
    for job_id in report.lapsed:
        logger.warning("%s: its worker fell silent; the lease was taken back", job_id)
    for upload_id in expired:
        logger.info("%s: expired", upload_id)
    if report.waiting and bell.waiting() == 0:
        # Rings that nobody takes must not pile up while no worker is there, hence the count.
        for job_id in report.waiting:
            bell.ring(job_id)
