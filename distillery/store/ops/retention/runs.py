"""Deletes run directories that are no longer needed: of jobs that ended, are gone, or idle."""

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

DELETING = ".deleting-"  # prefix of a directory to be removed; a killed process may leave one
UNKNOWN_JOB_AGE_S = 600  # a younger directory of an unknown job may belong to a restore


def count(s: Session, runs: Path, keep: Retention, tenant: str | None) -> Usage:
    """Return what would be deleted."""
    folders = _folders(runs, keep)
    unneeded = (f for f in folders if _is_unneeded(s, s.get(Job, f.name), f, keep, tenant))
    return usage("run_directories", [size_of(folder) for folder in unneeded])


def collect(database: Database, runs: Path, keep: Retention, tenant: str | None) -> Usage:
    """Delete unneeded run directories."""
    for left in runs.glob(f"{DELETING}*") if tenant is None else ():
        shutil.rmtree(left, ignore_errors=True)
    sizes = []
    for folder in _folders(runs, keep):
        with database.read() as s:
            if not _is_unneeded(s, s.get(Job, folder.name), folder, keep, tenant):
                continue
        with suppress(OSError):  # another collector was here first
            moved = _move_aside(database, folder, keep, tenant)
            if moved is not None:
                sizes.append(size_of(moved))
                shutil.rmtree(moved, ignore_errors=True)
    return usage("run_directories", sizes)


def _move_aside(
    database: Database, folder: Path, keep: Retention, tenant: str | None
) -> Path | None:
    """Rename a directory and return its new path; None if it is needed after all."""
    moved = folder.with_name(DELETING + folder.name)
    with database.write() as s:
        # Locked: the job cannot be resumed, retried or claimed while its directory is moved.
        query = select(Job).where(Job.id == folder.name).with_for_update()
        if not _is_unneeded(s, s.scalar(query), folder, keep, tenant):
            return None
        folder.rename(moved)
    return moved


def _folders(runs: Path, keep: Retention) -> Iterator[Path]:
    for folder in sorted(runs.iterdir()) if runs.is_dir() and not keep.keep_runs else ():
        if folder.name.startswith("job_"):
            yield folder


def _is_unneeded(
    s: Session, job: Job | None, folder: Path, keep: Retention, tenant: str | None
) -> bool:
    if job is None:
        is_old = folder.exists() and time.time() - folder.stat().st_mtime > UNKNOWN_JOB_AGE_S
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
