"""Explains why a job does not proceed: queued but not started, or running without a worker."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.store.db.tables import Worker as WorkerRow
from distillery.store.jobs import workers
from distillery.store.jobs.partial import in_state
from distillery.store.ops import reaper_status
from distillery.wire.job_codes import WaitReason
from distillery.wire.states import State


@dataclass(frozen=True)
class Waiting:
    """A reason and a message; times in milliseconds. `until`: when it will be over, if known."""

    reason: WaitReason
    message: str
    since: int
    until: int | None = None


def waiting_for(s: Session, job: Job) -> Waiting | None:
    """Return what a job waits for; None if it is about to start, is running, or has ended."""
    now = db_now(s)
    if job.state is State.RUNNING:
        return _abandoned(s, job, now)
    if job.state is not State.QUEUED:
        return None
    if job.not_before > now:
        message = f"attempt {job.attempt} died; the next one starts after a pause"
        return Waiting(WaitReason.BACKOFF, message, job.queued_at, until=job.not_before)
    since = max(job.queued_at, job.not_before)
    alive = workers.alive(s)
    slots = sum(worker.slots for worker in alive if worker.trouble is None)
    if alive and not slots:
        message = f"every worker is short of disk space: {alive[0].trouble}"
        return Waiting(WaitReason.DISK_LOW, message, since)
    if not slots:
        last_seen = s.scalar(select(func.max(WorkerRow.seen_at))) or 0
        return Waiting(WaitReason.NO_WORKER, "no worker is running", max(since, last_seen))
    # A job whose lease has lapsed holds no slot, although its row still says `running`.
    busy = select(func.count()).where(in_state(State.RUNNING), Job.lease_until >= now)
    if (s.scalar(busy) or 0) < slots:
        return None
    noun = "the only slot" if slots == 1 else f"all {slots} slots"
    return Waiting(WaitReason.CAPACITY, f"other jobs hold {noun}", since)


def _abandoned(s: Session, job: Job, now: int) -> Waiting | None:
    assert job.lease_until is not None
    if job.lease_until >= now or not reaper_status.is_late(s):
        return None
    message = "its worker stopped renewing the lease, and no reaper is running to requeue the job"
    return Waiting(WaitReason.REAPER_LATE, message, job.lease_until)
