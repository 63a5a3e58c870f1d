"""Run directories that nobody will want: of jobs that are over, gone, or paused for very long."""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store.config import Retention
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Job
from distillery.store.ops.retention.usage import MS_PER_S, Usage, size_of, usage
from distillery.wire.states import State

DOOMED = ".gone-"  # renamed to this, then removed: a worker that was killed meanwhile leaves one
YOUNG_S = 600  # a directory of a job that nobody knows may be of one that is being restored


def count(s: Session, runs: Path, keep: Retention, tenant: str | None) -> Usage:
    """What would go."""
    folders = _folders(runs, keep)
    unwanted = (f for f in folders if _is_unwanted(s, s.get(Job, f.name), f, keep, tenant))
    return usage("run_directories", [size_of(folder) for folder in unwanted])


def collect(database: Database, runs: Path, keep: Retention, tenant: str | None) -> Usage:
    """Remove them."""
    for left in runs.glob(f"{DOOMED}*") if tenant is None else ():
        shutil.rmtree(left, ignore_errors=True)
    sizes = []
    for folder in _folders(runs, keep):
        with database.read() as s:
            if not _is_unwanted(s, s.get(Job, folder.name), folder, keep, tenant):
                continue
        with suppress(OSError):  # another collector was here first
            doomed = _doom(database, folder, keep, tenant)
            if doomed is not None:
                sizes.append(size_of(doomed))
                shutil.rmtree(doomed, ignore_errors=True)
    return usage("run_directories", sizes)


def _doom(database: Database, folder: Path, keep: Retention, tenant: str | None) -> Path | None:
    """Move a directory out of the way, unless it is wanted after all; where it is then."""
    doomed = folder.with_name(DOOMED + folder.name)
    with database.write() as s:
        # Locked: nobody can resume, retry or claim the job while its directory is moved away.
        query = select(Job).where(Job.id == folder.name).with_for_update()
        if not _is_unwanted(s, s.scalar(query), folder, keep, tenant):
            return None
        folder.rename(doomed)
    return doomed


def _folders(runs: Path, keep: Retention) -> Iterator[Path]:
    for folder in sorted(runs.iterdir()) if runs.is_dir() and not keep.keep_runs else ():
        if folder.name.startswith("job_"):
            yield folder


def _is_unwanted(
    s: Session, job: Job | None, folder: Path, keep: Retention, tenant: str | None
) -> bool:
    if job is None:
        is_old = folder.exists() and time.time() - folder.stat().st_mtime > YOUNG_S
        return tenant is None and is_old
    if tenant not in (None, job.tenant):
        return False
    ended = job.finished_at or job.updated_at
    idle_s = (db_now(s) - ended) / MS_PER_S
    match job.state:
        case State.SUCCEEDED | State.CANCELLED:
            return True
        case State.FAILED:
            return idle_s > keep.keep_failed_s
        case State.PAUSED:
            return idle_s > keep.keep_paused_s
        case _:
            return False
