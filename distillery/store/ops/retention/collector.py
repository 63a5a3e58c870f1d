"""Deletes expired data of every kind, in small transactions and within a time limit."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from distillery.store.blobs.blobs import Blobs, Stored
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.config import Retention
from distillery.store.db.database import Database
from distillery.store.ops.retention import blobs as blob_rows
from distillery.store.ops.retention import jobs, outputs, runs, uploads
from distillery.store.ops.retention.usage import Kind, Usage, usage

Step = Callable[[Session], tuple[Usage, bool]]


@dataclass
class Collector:
    """Deletes data that has expired according to `keep`, of one tenant or of all.

    Unreferenced blobs belong to no tenant. Finding them reads every blob's row, so that is done at
    most every `scan_every_s` seconds.
    """

    database: Database
    blobs: Blobs
    parts: UploadParts
    runs: Path
    keep: Retention
    scan_every_s: float = 0.0
    _scanned_s: float = -math.inf
    _after: str = ""  # the blob after which to go on, if the last scan ran out of time

    def count(self, tenant: str | None = None) -> list[Usage]:
        """Return what would be deleted, by kind; blobs that only such rows refer to come later."""
        keep = self.keep
        with self.database.read() as s:
            counts = [
                jobs.count(s, tenant, keep.keep_jobs_s),
                uploads.count(s, self.parts, tenant, keep.keep_uploads_s),
                outputs.count(s, tenant, keep.teacher_cache_keep_s),
                runs.count(s, self.runs, keep, tenant),
            ]
            if tenant is None:
                counts.append(blob_rows.count(s, self.blobs, keep.keep_blobs_s))
        return counts

    def collect(self, tenant: str | None, within_s: float) -> tuple[list[Usage], bool]:
        """Delete for about `within_s` seconds; return what is gone, and whether that was all.

        Raises Unavailable.
        """
        deadline_s = time.monotonic() + within_s
        keep, done = self.keep, True
        totals: dict[Kind, Usage] = {}
        steps: list[Step] = [
            lambda s: jobs.collect(s, tenant, keep.keep_jobs_s),
            lambda s: uploads.collect(s, self.parts, tenant, keep.keep_uploads_s),
            lambda s: outputs.collect(s, tenant, keep.teacher_cache_keep_s),
        ]
        for step in steps:
            more = True
            while more and time.monotonic() < deadline_s:
                with self.database.write() as s:
                    deleted, more = step(s)
                _add(totals, deleted)
            done = done and not more
        _add(totals, runs.collect(self.database, self.runs, keep, tenant))
        if tenant is None and time.monotonic() - self._scanned_s >= self.scan_every_s:
            done = self._collect_blobs(totals, deadline_s) and done
        return list(totals.values()), done

    def _collect_blobs(self, totals: dict[Kind, Usage], deadline_s: float) -> bool:
        with self.database.read() as s:
            _add(totals, uploads.collect_orphans(s, self.parts))
        keep_s = self.keep.keep_blobs_s
        after: str | None = self._after
        while after is not None:
            if time.monotonic() >= deadline_s:
                self._after = after
                return False
            with self.database.read() as s:
                candidates, after = blob_rows.unreferenced(s, keep_s, after)
            if candidates:
                self._discard(totals, candidates)
        self._after = ""
        self._scanned_s = time.monotonic()
        _add(totals, blob_rows.discard_orphans(self.database, self.blobs, keep_s))
        return True

    def _discard(self, totals: dict[Kind, Usage], candidates: Sequence[Stored]) -> None:
        keep_s = self.keep.keep_blobs_s
        with self.database.write() as s:
            deleted = blob_rows.delete_rows(s, candidates, keep_s)
        for stored in deleted:
            self.blobs.discard(stored.sha256, keep_s)
        _add(totals, usage("blobs", (stored.size for stored in deleted)))


def _add(totals: dict[Kind, Usage], deleted: Usage) -> None:
    totals[deleted.kind] = totals.get(deleted.kind, Usage(deleted.kind)) + deleted
