"""What users ask of a job: cancel, pause, resume, retry; each may be asked twice."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from distillery.store.catalog import inspections
from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.store.errors import Conflict, NotFound
from distillery.store.jobs.move import cancel, move
from distillery.wire.request_codes import RequestCode
from distillery.wire.states import TERMINAL, State


def request_cancel(s: Session, tenant: str, job_id: str) -> Job:
    """Cancel: at once where nothing runs, else as a request the worker sees at its next renewal.

    Raises NotFound, or Conflict `ended` where the job ended otherwise.
    """
    job = _locked(s, tenant, job_id)
    if job.state is State.RUNNING:
        return _ask(s, job, "cancel")
    if job.state is State.CANCELLED:
        return job
    if job.state in TERMINAL:
        raise Conflict(f"the job has already {job.state}", code=RequestCode.ENDED)
    return _sure(cancel(s, job, db_now(s), "cancelled on request"))


def request_pause(s: Session, tenant: str, job_id: str) -> Job:
    """Pause: at once where nothing runs, else as a request the worker sees at its next renewal.

    Raises NotFound, or Conflict (`ended`, `cancelling`).
    """
    job = _locked(s, tenant, job_id)
    if job.state is State.PAUSED:
        return job
    if job.state in TERMINAL:
        raise Conflict(f"the job has already {job.state}", code=RequestCode.ENDED)
    if job.request == "cancel":
        raise Conflict("the job is being cancelled", code=RequestCode.CANCELLING)
    if job.state is State.RUNNING:
        return _ask(s, job, "pause")
    return _sure(move(s, job, State.PAUSED, "paused on request", db_now(s)))


def resume(s: Session, tenant: str, job_id: str) -> Job:
    """Put a paused job back into the queue, or take back a pause not yet carried out.

    Raises NotFound, or Conflict (`ended`, `cancelling`).
    """
    job = _locked(s, tenant, job_id)
    if job.state in TERMINAL:
        raise Conflict(f"the job has already {job.state}", code=RequestCode.ENDED)
    if job.request == "cancel":
        raise Conflict("the job is being cancelled", code=RequestCode.CANCELLING)
    if job.state is State.PAUSED:
        return _sure(move(s, job, State.QUEUED, "resumed", db_now(s), not_before=0))
    return _ask(s, job, None) if job.request == "pause" else job


def retry(s: Session, tenant: str, job_id: str) -> Job:
    """Queue a failed job again with a clean slate of failures; one already waiting is left alone.

    Raises NotFound, or Conflict `not_failed`.
    """
    job = _locked(s, tenant, job_id)
    if job.state in (State.QUEUED, State.RUNNING):
        return job
    if job.state is not State.FAILED:
        raise Conflict(
            f"the job is {job.state}; only a failed one is retried", code=RequestCode.NOT_FAILED
        )
    if job.subject is not None and not inspections.inspect_again(s, job.subject):
        raise Conflict(f"{job.subject} was deleted", code=RequestCode.SUBJECT_DELETED)
    return _sure(move(s, job, State.QUEUED, "retried", db_now(s), failures=0, not_before=0))


def _ask(s: Session, job: Job, request: str | None) -> Job:
    if job.request == request:
        return job
    now = db_now(s)
    asked = s.scalar(
        update(Job)
        .where(Job.id == job.id, Job.state == State.RUNNING, Job.attempt == job.attempt)
        .values(request=request, version=Job.version + 1, updated_at=now)
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    return _sure(asked)


def _locked(s: Session, tenant: str, job_id: str) -> Job:
    query = select(Job).where(Job.id == job_id, Job.tenant == tenant)
    job = s.scalar(query.with_for_update().execution_options(populate_existing=True))
    if job is None:
        raise NotFound(f"no job {job_id}")
    return job


def _sure(job: Job | None) -> Job:
    # The row was locked by `_locked` (PostgreSQL) or the whole database was (SQLite).
    assert job is not None
    return job
