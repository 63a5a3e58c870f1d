"""Claiming a job and keeping it: one worker's attempt, fenced by its number."""

from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Attempt, Job
from distillery.store.errors import LeaseLost
from distillery.store.jobs.move import INSPECTION_LIMITS, record_transition
from distillery.store.jobs.partial import in_state
from distillery.wire.jobspec import JobSpec
from distillery.wire.states import State, is_legal
from kdcore.spec.recipe import Limits

QUEUE = ("inspect_model", "inspect_dataset", "distill")  # every task, in the order of service


@dataclass(frozen=True)
class Claim:
    """What a worker holds while its attempt is the newest; every write of it names both."""

    job_id: str
    tenant: str
    task: str
    attempt: int
    spec: JobSpec | None  # None for an inspection
    subject: str | None  # the model or dataset of an inspection
    waited_ms: int = 0  # since it was queued, or since its backoff was over
    traceparent: str | None = None  # of the request that submitted the job

    @property
    def limits(self) -> Limits:
        """Return the limits in the spec; an inspection has fixed ones."""
        return INSPECTION_LIMITS if self.spec is None else self.spec.limits


def claimable(s: Session, limit: int) -> list[str]:
    """Ids of queued jobs whose backoff is over: inspections first, they are short; then by age."""
    now = db_now(s)
    found: list[str] = []
    for task in QUEUE:
        # One walk along the index per task: sorting every waiting job takes as long as there are.
        query = (
            select(Job.id)
            .where(in_state(State.QUEUED), Job.task == task, Job.not_before <= now)
            .order_by(Job.queued_at, Job.id)
        )
        found += s.scalars(query.limit(limit - len(found)))
    return found


def claim(s: Session, job_id: str, worker: str, lease_s: float) -> Claim | None:
    """Start an attempt; None if the job is not waiting (late or doubled message, backoff)."""
    assert is_legal(State.QUEUED, State.RUNNING)
    now = db_now(s)
    job = s.scalar(
        update(Job)
        .where(Job.id == job_id, Job.state == State.QUEUED, Job.not_before <= now)
        .values(
            state=State.RUNNING,
            attempt=Job.attempt + 1,
            worker=worker,
            lease_until=now + int(lease_s * 1000),
            phase="preparing",
            started_at=func.coalesce(Job.started_at, now),
            updated_at=now,
            version=Job.version + 1,
        )
        .returning(Job)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    if job is None:
        return None
    record_transition(s, job, State.QUEUED, now, f"claimed by {worker}")
    s.add(Attempt(job_id=job.id, number=job.attempt, worker=worker, started_at=now))
    s.flush()
    return Claim(
        job_id=job.id,
        tenant=job.tenant,
        task=job.task,
        attempt=job.attempt,
        spec=JobSpec.model_validate(job.spec) if job.task == "distill" else None,
        subject=job.subject,
        waited_ms=now - max(job.queued_at, job.not_before),
        traceparent=job.traceparent,
    )


def renew_lease(s: Session, claim: Claim, lease_s: float) -> str | None:
    """Renew the lease and return what was requested meanwhile (`cancel`, `pause`, None).

    Raises LeaseLost: kill the child at once and write nothing more.
    """
    row = s.execute(
        update(Job)
        .where(Job.id == claim.job_id, Job.attempt == claim.attempt, Job.state == State.RUNNING)
        .values(lease_until=db_now(s) + int(lease_s * 1000))
        .returning(Job.request)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        raise LeaseLost(f"attempt {claim.attempt} no longer holds {claim.job_id}")
    return row[0]
