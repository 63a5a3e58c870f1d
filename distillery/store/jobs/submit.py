"""Submits a job: checks it against the models and dataset it names, then queues it."""

from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.ids import new_id
from distillery.store.db.tables import Job, Json
from distillery.store.jobs.fit import check
from distillery.store.jobs.move import record_transition
from distillery.telemetry import traces
from distillery.wire.jobspec import JobSpec
from distillery.wire.states import State


def submit(s: Session, tenant: str, spec: JobSpec, name: str | None = None) -> Job:
    """Queue a distillation; notify workers after the commit.

    Raises Invalid or NotReady with a code and a JSON pointer into the spec.
    """
    check(s, tenant, spec, lock=True)
    # A request body is a spec with further fields, which are not part of it.
    body = spec.model_dump(mode="json", include=set(JobSpec.model_fields))
    return insert_job(s, tenant, "distill", name or default_name(spec), spec=body)


def default_name(spec: JobSpec) -> str:
    """Return a name made from the spec, such as `resnet8x4 by hard_target + kd`."""
    methods = " + ".join(sorted(set(spec.methods())))
    return f"{spec.student.architecture} by {methods}"[:200]


def insert_job(
    s: Session,
    tenant: str,
    task: str,
    name: str,
    *,
    spec: Json | None = None,
    subject: str | None = None,
) -> Job:
    """Insert a queued job and its first transition."""
    now = db_now(s)
    job = Job(
        id=new_id("job"),
        tenant=tenant,
        task=task,
        name=name,
        spec=spec or {},
        subject=subject,
        state=State.QUEUED,
        attempt=0,
        latest={},
        created_at=now,
        queued_at=now,
        updated_at=now,
        traceparent=traces.traceparent(),
    )
    s.add(job)
    s.flush()
    record_transition(s, job, None, now, "submitted")
    s.flush()
    return job
