"""The one place where a job's state changes: compare, swap, and write the transition."""

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
    """Take a job from the state and attempt it was read in to `target`, with its transition.

    None where somebody else moved it since; nothing is changed then. `columns` are set too.
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
    """What a state says about the other columns."""
    if target is State.RUNNING:
        return {}
    columns: dict[str, Any] = {"lease_until": None, "request": None, "phase": None}
    if target in TERMINAL:
        return columns | {"finished_at": now}
    columns |= {"worker": None, "finished_at": None, "error": None}
    return columns | ({"queued_at": now} if target is State.QUEUED else {})


def record_transition(s: Session, job: Job, source: State | None, now: int, message: str) -> None:
    """Write down the move that a job has just made."""
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


def held(s: Session, job_id: str, attempt: int) -> Job:
    """The job, locked, while this attempt still holds it. Raises LeaseLost."""
    query = select(Job).where(Job.id == job_id, Job.attempt == attempt, Job.state == State.RUNNING)
    job = s.scalar(query.with_for_update().execution_options(populate_existing=True))
    if job is None:
        raise LeaseLost(f"attempt {attempt} no longer holds {job_id}")
    return job


def bury(s: Session, job: Job, now: int, error: dict[str, Any]) -> Job | None:
    """An attempt died: back to the queue with a backoff, or failed as poison past the limit.

    Where a cancel or a pause had been asked for, the job goes there instead.
    """
    failures = job.failures + 1
    reason = f"{error['code']}: {error['message']}"
    if job.request == "cancel":
        return cancel(s, job, now, f"cancelled; the attempt had ended with {reason}")
    limit = limits_of(job).attempts
    if failures >= limit:
        message = f"{failures} of {limit} attempts died, the last with {reason}"
        # A full disk is the service's trouble, not the job's.
        full = error["code"] == RunCode.NO_SPACE
        named = failure(RunCode.NO_SPACE if full else JobCode.POISON, message, error["pointer"])
        return move(s, job, State.FAILED, message, now, failures=failures, error=named)
    if job.request == "pause":
        return move(s, job, State.PAUSED, f"paused after {reason}", now, failures=failures)
    not_before = now + backoff_s(failures) * 1000
    return move(s, job, State.QUEUED, reason, now, failures=failures, not_before=not_before)


def cancel(s: Session, job: Job, now: int, message: str) -> Job | None:
    """Move to CANCELLED; the subject of an inspection is rejected with it."""
    error = None
    if job.subject is not None:
        error = failure(JobCode.CANCELLED, "the inspection was cancelled")
    return move(s, job, State.CANCELLED, message, now, error=error)


def failure(code: ErrorCode, message: str, pointer: str | None = None) -> dict[str, Any]:
    """The shape of `error` columns."""
    return {"code": code, "message": message, "pointer": pointer}


def backoff_s(failures: int) -> int:
    """Seconds to wait after so many deaths: 1, 5, 25, ... at most five minutes."""
    return int(min(_FIRST_BACKOFF_S * 5.0 ** (failures - 1), LONGEST_BACKOFF_S))


def limits_of(job: Job) -> Limits:
    """Return the limits in the job's spec; an inspection has fixed ones."""
    return Limits.model_validate(job.spec["limits"]) if job.task == "distill" else INSPECTION_LIMITS
