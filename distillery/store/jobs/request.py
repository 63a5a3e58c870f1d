"""Requests of users to a job: cancel, pause, resume, retry; each may be repeated."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from distillery.store.catalog import inspections
from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.store.errors import Conflict, NotFound
from distillery.store.jobs.move import cancel, expect_moved, move
from distillery.wire.request_codes import RequestCode
from distillery.wire.states import TERMINAL, State


def request_cancel(s: Session, tenant: str, job_id: str) -> Job:
    """Cancel a job; if it is running, request that of its worker, which sees it within seconds.

    Raises NotFound, or Conflict `ended` if the job has succeeded or failed.
    """
    job = _locked(s, tenant, job_id)
    if job.state is State.RUNNING:
        return _request(s, job, "cancel")
    if job.state is State.CANCELLED:
        return job
    if job.state in TERMINAL:
        raise Conflict(f"the job has already {job.state}", code=RequestCode.ENDED)
    return expect_moved(cancel(s, job, db_now(s), "cancelled on request"))


def request_pause(s: Session, tenant: str, job_id: str) -> Job:
    """Pause a job; if it is running, request that of its worker, which sees it within seconds.

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
        return _request(s, job, "pause")
    return expect_moved(move(s, job, State.PAUSED, "paused on request", db_now(s)))


def resume(s: Session, tenant: str, job_id: str) -> Job:
    """Requeue a paused job, or withdraw a pause that has not taken effect yet.

    Raises NotFound, or Conflict (`ended`, `cancelling`).
    """
    job = _locked(s, tenant, job_id)
    if job.state in TERMINAL:
        raise Conflict(f"the job has already {job.state}", code=RequestCode.ENDED)
    if job.request == "cancel":
        raise Conflict("the job is being cancelled", code=RequestCode.CANCELLING)
    if job.state is State.PAUSED:
        return expect_moved(move(s, job, State.QUEUED, "resumed", db_now(s), not_before=0))
    return _request(s, job, None) if job.request == "pause" else job


def retry(s: Session, tenant: str, job_id: str) -> Job:
    """Requeue a failed job and reset its failures; a queued or running job is left as it is.

    Raises NotFound, or Conflict `not_failed`.
    """
    job = _locked(s, tenant, job_id)
    if job.state in (State.QUEUED, State.RUNNING):
        return job
    if job.state is not State.FAILED:
        raise Conflict(
            f"the job is {job.state}; only a failed job can be retried", code=RequestCode.NOT_FAILED
        )
    if job.subject is not None and not inspections.inspect_again(s, job.subject):
        raise Conflict(f"{job.subject} was deleted", code=RequestCode.SUBJECT_DELETED)
    return expect_moved(move(s, job, State.QUEUED, "retried", db_now(s), failures=0, not_before=0))


def _request(s: Session, job: Job, request: str | None) -> Job:
    if job.request == request:
        return job
    now = db_now(s)
    updated = s.scalar(
        update(Job)
        .where(Job.id == job.id, Job.state == State.RUNNING, Job.attempt == job.attempt)
        .values(request=request, version=Job.version + 1, updated_at=now)
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    return expect_moved(updated)


def _locked(s: Session, tenant: str, job_id: str) -> Job:
    query = select(Job).where(Job.id == job_id, Job.tenant == tenant)
    job = s.scalar(query.with_for_update().execution_options(populate_existing=True))
    if job is None:
        raise NotFound(f"no job {job_id}")
    return job
