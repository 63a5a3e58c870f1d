"""Changes a job's state, by compare-and-swap, with its transition; nothing else may."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from distillery.store.catalog import inspections
from distillery.store.db.tables import Attempt, Job, Transition
from distillery.store.errors import LeaseLost
from distillery.wire.job_codes import JobCode
from distillery.wire.states import TERMINAL, State, is_legal
from kdcore.spec.codes import ErrorCode, RunCode
from kdcore.spec.recipe import Limits

INSPECTION_LIMITS = Limits(wall_clock_s=3600, attempts=3)
_FIRST_BACKOFF_S = 1
LONGEST_BACKOFF_S = 300


def move(s: Session, job: Job, target: State, message: str, now: int, **columns: Any) -> Job | None:
    """Move a job from the state and attempt in which it was read to `target`, and set `columns`.

    Returns None, changing nothing, if the job was moved concurrently.
    """
    source = job.state
    assert is_legal(source, target), f"{job.id}: {source} -> {target}"
    moved = s.scalar(
        update(Job)
        .where(Job.id == job.id, Job.state == source, Job.attempt == job.attempt)
        .values(
            {"state": target, "version": Job.version + 1, "updated_at": now}
            | _columns(target, now)
            | columns
        )
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    if moved is None:
        return None
    record_transition(s, moved, source, now, message)
    if source is State.RUNNING:
        _end_attempt(s, moved, now, message)
    if moved.subject is not None and target in TERMINAL and moved.error is not None:
        inspections.reject(s, moved.subject, moved.error)
    s.flush()
    return moved


def _columns(target: State, now: int) -> dict[str, Any]:
    """Return the values of the columns that a state determines."""
    if target is State.RUNNING:
        return {}
    columns: dict[str, Any] = {"lease_until": None, "request": None, "phase": None}
    if target in TERMINAL:
        return columns | {"finished_at": now}
    columns |= {"worker": None, "finished_at": None, "error": None}
    return columns | ({"queued_at": now} if target is State.QUEUED else {})


def expect_moved(job: Job | None) -> Job:
    """Return a moved job that was locked before, so that nothing can have moved it meanwhile."""
    # On PostgreSQL its row was locked, on SQLite the whole database.
    assert job is not None
    return job


def record_transition(s: Session, job: Job, source: State | None, now: int, message: str) -> None:
    """Insert the transition of a job that has just been moved."""
    s.add(
        Transition(
            job_id=job.id,
            source=source,
            target=job.state,
            attempt=job.attempt,
            at=now,
            message=message,
        )
    )


def _end_attempt(s: Session, job: Job, now: int, message: str) -> None:
    s.execute(
        update(Attempt)
        .where(Attempt.job_id == job.id, Attempt.number == job.attempt)
        .values(ended_at=now, outcome=job.state.value, message=message)
    )


def lock_held(s: Session, job_id: str, attempt: int) -> Job:
    """Lock and return a job that this attempt still holds. Raises LeaseLost."""
    query = select(Job).where(Job.id == job_id, Job.attempt == attempt, Job.state == State.RUNNING)
    job = s.scalar(query.with_for_update().execution_options(populate_existing=True))
    if job is None:
        raise LeaseLost(f"attempt {attempt} no longer holds {job_id}")
    return job


def requeue_or_fail(s: Session, job: Job, now: int, error: dict[str, Any]) -> Job | None:
    """Requeue a job whose attempt died, with a backoff, or fail it as `poison` past the limit.

    If a cancel or pause was requested, the job is cancelled or paused instead.
    """
    failures = job.failures + 1
    reason = f"{error['code']}: {error['message']}"
    if job.request == "cancel":
        return cancel(s, job, now, f"cancelled; the attempt had ended with {reason}")
    limit = limits_of(job).attempts
    if failures >= limit:
        message = f"{failures} of {limit} attempts died, the last with {reason}"
        # A full disk is not the job's fault.
        full = error["code"] == RunCode.NO_SPACE
        named = failure(RunCode.NO_SPACE if full else JobCode.POISON, message, error["pointer"])
        return move(s, job, State.FAILED, message, now, failures=failures, error=named)
    if job.request == "pause":
        return move(s, job, State.PAUSED, f"paused after {reason}", now, failures=failures)
    not_before = now + backoff_s(failures) * 1000
    return move(s, job, State.QUEUED, reason, now, failures=failures, not_before=not_before)


def cancel(s: Session, job: Job, now: int, message: str) -> Job | None:
    """Cancel a job; if it is an inspection, the model or dataset is rejected."""
    error = None
    if job.subject is not None:
        error = failure(JobCode.CANCELLED, "the inspection was cancelled")
    return move(s, job, State.CANCELLED, message, now, error=error)


def failure(code: ErrorCode, message: str, pointer: str | None = None) -> dict[str, Any]:
    """Return the value of an `error` column."""
    return {"code": code, "message": message, "pointer": pointer}


def backoff_s(failures: int) -> int:
    """Return the pause after this many failures: 1, 5, 25, ... at most 300 seconds."""
    return int(min(_FIRST_BACKOFF_S * 5.0 ** (failures - 1), LONGEST_BACKOFF_S))


def limits_of(job: Job) -> Limits:
    """Return the limits in the job's spec; an inspection has fixed ones."""
    return Limits.model_validate(job.spec["limits"]) if job.task == "distill" else INSPECTION_LIMITS
