"""Maps rows of jobs and what belongs to them to views."""

from typing import Any

from distillery.api.mappers.common import failure_of, time_of
from distillery.store import jobs
from distillery.store.db import tables
from distillery.wire.jobs import Artifact, Event, Job, JobSummary, Transition, Waiting
from distillery.wire.jobspec import JobSpec
from distillery.wire.states import TERMINAL, State
from kdcore.spec.names import BASELINE_ACCURACY, STUDENT_ACCURACY, TEACHER_ACCURACY

ACCURACIES = (STUDENT_ACCURACY, BASELINE_ACCURACY, TEACHER_ACCURACY)


def summary_view(row: tables.Job) -> JobSummary:
    """Return the view of a job in a list: small, with live numbers only while it is unfinished."""
    fields = _summary(row)
    fields["latest"] = {k: v for k, v in row.latest.items() if k in ACCURACIES}
    if row.state in TERMINAL:
        fields |= {"latest": {}, "progress": None}
    return JobSummary.model_validate(fields)


def job_view(row: tables.Job, waiting: jobs.Waiting | None, spec: JobSpec | None = None) -> Job:
    """Return the full view of a job. `spec`: the row's, if the caller has parsed it already."""
    is_distillation = row.task == "distill"
    return Job.model_validate(
        {
            **_summary(row),
            "spec": (spec or row.spec) if is_distillation else None,
            "subject": row.subject,
            "waiting": None if waiting is None else waiting_view(waiting),
            "worker": row.worker,
            "result": row.result if is_distillation else None,
            "student_model": row.student_model,
            "queued_at": time_of(row.queued_at),
            "last_event": row.last_event,
            "version": row.version,
        }
    )


def waiting_view(waiting: jobs.Waiting) -> Waiting:
    """Return the view of what a job waits for."""
    return Waiting(
        reason=waiting.reason,
        next_step=waiting.reason.next_step,
        message=waiting.message,
        since=time_of(waiting.since),
        until=time_of(waiting.until),
    )


def _summary(row: tables.Job) -> dict[str, Any]:
    spec = row.spec
    stages = spec.get("stages", ())
    return {
        "id": row.id,
        "name": row.name,
        "task": row.task,
        "state": row.state,
        "terminal": row.state in TERMINAL,
        "phase": row.phase,
        "request": row.request,
        "attempt": row.attempt,
        "progress": row.progress,
        "student_architecture": spec.get("student", {}).get("architecture"),
        "methods": list(dict.fromkeys(o["method"] for s in stages for o in s["objectives"])),
        "latest": row.latest,
        "gain": row.gain,
        "student_accuracy": row.student_accuracy,
        "teacher_accuracy": row.teacher_accuracy,
        "baseline_accuracy": row.baseline_accuracy,
        "error": failure_of(row.error),
        "created_at": time_of(row.created_at),
        "started_at": time_of(row.started_at),
        "finished_at": time_of(row.finished_at),
    }


def event_view(row: tables.Event) -> Event:
    """Return the view of an event."""
    at = time_of(row.at)
    return Event(id=row.id, attempt=row.attempt, kind=row.kind, at=at, body=row.body)


def transition_view(row: tables.Transition) -> Transition:
    """Return the view of a transition."""
    return Transition(
        source=None if row.source is None else State(row.source),
        target=State(row.target),
        attempt=row.attempt,
        at=time_of(row.at),
        message=row.message,
    )


def artifact_view(row: tables.Artifact) -> Artifact:
    """Return the view of an artifact."""
    return Artifact(
        id=row.id,
        job=row.job_id,
        kind=row.kind,
        name=row.name,
        media_type=row.media_type,
        size_bytes=row.size,
        sha256=row.sha256,
        max_abs_diff=row.max_abs_diff,
        created_at=time_of(row.created_at),
        href=f"/v1/artifacts/{row.id}/content",
    )
