"""Ends an attempt: with results, with a failure, or by releasing the job."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from distillery.store.blobs import blobs
from distillery.store.catalog import inspections
from distillery.store.db.database import db_now
from distillery.store.db.ids import new_id
from distillery.store.db.tables import Artifact, Job, Model
from distillery.store.jobs.claim import Claim
from distillery.store.jobs.move import (
    cancel,
    expect_moved,
    failure,
    lock_held,
    move,
    requeue_or_fail,
)
from distillery.wire.jobspec import pointer_in_request
from distillery.wire.states import State
from kdcore.spec.codes import ErrorCode
from kdcore.spec.result import (
    RUN_RESULT,
    DistillResult,
    InspectDatasetResult,
    InspectModelResult,
)


@dataclass(frozen=True)
class NewArtifact:
    """A file of an attempt; its bytes are already in blob storage."""

    kind: str
    name: str
    media_type: str
    size: int
    sha256: str
    max_abs_diff: float | None = None


def succeed(
    s: Session, claim: Claim, result: dict[str, Any], artifacts: Sequence[NewArtifact]
) -> Job:
    """End a job with the run's result.json, in one transaction with everything it made.

    A distillation's artifacts become visible and its student becomes a model. An inspected model or
    dataset becomes ready; a model's blob is the `weights` artifact, if there is one. Raises
    LeaseLost.
    """
    parsed = RUN_RESULT.validate_python(result)
    assert parsed.task == claim.task, (parsed.task, claim.task)
    job = lock_held(s, claim.job_id, claim.attempt)
    now = db_now(s)
    for artifact in sorted(artifacts, key=lambda artifact: artifact.sha256):  # no deadlock
        blobs.record(s, blobs.Stored(artifact.sha256, artifact.size))
    columns: dict[str, Any] = {}
    match parsed:
        case DistillResult():
            columns = _add_student(s, job, parsed, artifacts, now)
        case InspectModelResult():
            assert job.subject is not None
            converted = next((a.sha256 for a in artifacts if a.kind == "weights"), None)
            inspections.accept_model(s, job.subject, parsed, converted)
        case InspectDatasetResult():
            assert job.subject is not None
            inspections.accept_dataset(s, job.subject, parsed)
    return expect_moved(move(s, job, State.SUCCEEDED, "done", now, result=result, **columns))


def _add_student(
    s: Session,
    job: Job,
    result: DistillResult,
    artifacts: Sequence[NewArtifact],
    now: int,
) -> dict[str, Any]:
    for artifact in artifacts:
        s.add(
            Artifact(
                id=new_id("art"),
                tenant=job.tenant,
                job_id=job.id,
                created_at=now,
                **asdict(artifact),
            )
        )
    student = Model(
        id=new_id("mdl"),
        tenant=job.tenant,
        name=f"{job.name[:180]} (student)",
        state="ready",
        format="safetensors",
        network=result.network.model_dump(mode="json"),
        blob=next(artifact.sha256 for artifact in artifacts if artifact.kind == "weights"),
        parameters=result.student.parameters,
        source_job=job.id,
        created_at=now,
    )
    s.add(student)
    s.flush()
    teacher = result.ensemble or (result.teachers[0].last if result.teachers else None)
    return {
        "student_model": student.id,
        "student_accuracy": result.student.last.accuracy,
        "teacher_accuracy": teacher.accuracy if teacher else None,
        "baseline_accuracy": result.baseline.last.accuracy if result.baseline else None,
        "gain": result.gain,
    }


def fail(
    s: Session,
    claim: Claim,
    code: ErrorCode,
    message: str,
    pointer: str | None = None,
    retry: bool = False,
) -> Job:
    """End an attempt that failed; `pointer` leads into the run's spec.

    With `retry` the job is queued again after a backoff, until `limits.attempts` have failed
    (`poison`); a requested cancel or pause takes effect instead. Without it, the job fails with
    this error. Raises LeaseLost.
    """
    job = lock_held(s, claim.job_id, claim.attempt)
    now = db_now(s)
    error = failure(code, message, pointer_in_request(job.task, pointer))
    if retry:
        return expect_moved(requeue_or_fail(s, job, now, error))
    return expect_moved(move(s, job, State.FAILED, f"{code}: {message}", now, error=error))


def release(
    s: Session,
    claim: Claim,
    target: Literal[State.PAUSED, State.QUEUED, State.CANCELLED],
    message: str,
) -> Job:
    """Release a job without counting a failure; return it in its new state.

    A user's request takes precedence: cancel over any target, pause over QUEUED, and resume (no
    request any more) over PAUSED. Raises LeaseLost.
    """
    job = lock_held(s, claim.job_id, claim.attempt)
    now = db_now(s)
    if job.request == "cancel" or target is State.CANCELLED:
        return expect_moved(cancel(s, job, now, message))
    end = State.PAUSED if job.request == "pause" else State.QUEUED
    return expect_moved(move(s, job, end, message, now))
