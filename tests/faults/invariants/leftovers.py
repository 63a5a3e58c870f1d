"""I8: no orphaned process, and no file that will never be used or deleted."""

import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from sqlalchemy import select

from distillery.store.db.tables import Upload
from distillery.wire.states import TERMINAL, State
from tests.faults.invariants.evidence import Evidence, Violation, Violations

# Incomplete files are deleted once they are certainly abandoned: after this, none may be left.
COLLECTED_S = 26 * 3600


def nothing_left_over(evidence: Evidence) -> Violations:
    """I8: in the given homes: no run without a worker, no run directory of a finished job, no warm
    process without a worker, no incomplete file."""
    for home in evidence.homes:
        yield from _orphans(home / "runs")
        yield from _run_directories(evidence, home / "runs")
        yield from _warm_pool(home / "runs" / ".warm")
        yield from _parts(evidence, home / "uploads")
        incomplete = [*(home / "blobs" / "incoming").glob("*"), *(home / "broker").glob("*/.*")]
        for path in incomplete:
            if _age_s(path) > COLLECTED_S:
                yield Violation(str(path), "is incomplete and was not deleted")


def _orphans(runs: Path) -> Violations:
    root = str(runs.absolute()) + "/"
    for process in psutil.process_iter():
        try:
            inside = process.cwd().startswith(root)
            parent = process.parent()
            parent_command = " ".join(parent.cmdline()) if parent is not None else ""
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if inside and "worker" not in parent_command:
            yield Violation(f"process {process.pid}", f"runs in {process.cwd()} without a worker")


def _run_directories(evidence: Evidence, runs: Path) -> Violations:
    jobs = {job.id: job for job in evidence.jobs}
    for folder in _old(evidence, runs):
        if folder.name == ".warm":
            continue
        job = jobs.get(folder.name)
        if job is None:
            yield Violation(str(folder), "belongs to no job")
        elif job.state in TERMINAL and job.state is not State.FAILED:
            yield Violation(job.id, f"is {job.state} and its run directory is still there")


def _warm_pool(pool: Path) -> Violations:
    for path in sorted(pool.glob("*.lock")):
        try:
            with path.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, FileNotFoundError):
            continue  # its worker is alive, or has just deleted it
        yield Violation(str(path), "belongs to a dead worker")


def _parts(evidence: Evidence, uploads: Path) -> Violations:
    query = select(Upload.id).where(Upload.state == "open")
    open_uploads = set(evidence.session.scalars(query))
    for folder in _old(evidence, uploads):
        if folder.name not in open_uploads:
            yield Violation(folder.name, "is not an open upload and has parts on disk")


def _old(evidence: Evidence, folder: Path) -> Iterator[Path]:
    """The entries of a folder that are at least `young_s` old."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _age_s(path) >= evidence.young_s:
            yield path


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return -1.0  # just deleted
