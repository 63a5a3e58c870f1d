"""Claims a job for one worker's attempt, and keeps it; writes are fenced by its number."""

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

QUEUE = ("inspect_model", "inspect_dataset", "distill")  # every task, by priority


@dataclass(frozen=True)
class Claim:
    """A worker's hold on a job, valid while its attempt is the newest one."""

    job_id: str
    tenant: str
    task: str
    attempt: int
    spec: JobSpec | None  # None for an inspection
    subject: str | None  # the model or dataset of an inspection
    waited_ms: int = 0  # since it was queued or its backoff was over
    traceparent: str | None = None  # of the request that submitted the job

    @property
    def limits(self) -> Limits:
        """Return the limits in the spec; an inspection has fixed ones."""
        return INSPECTION_LIMITS if self.spec is None else self.spec.limits


def claimable(s: Session, limit: int) -> list[str]:
    """Return ids of queued jobs whose backoff is over: short inspections first, then by age."""
    now = db_now(s)
    ids: list[str] = []
    for task in QUEUE:
        # One index scan per task, instead of sorting every waiting job.
        query = (
            select(Job.id)
            .where(in_state(State.QUEUED), Job.task == task, Job.not_before <= now)
            .order_by(Job.queued_at, Job.id)
        )
        ids += s.scalars(query.limit(limit - len(ids)))
    return ids


def claim(s: Session, job_id: str, worker: str, lease_s: float) -> Claim | None:
    """Start an attempt; return None if the job cannot be claimed.

    That is so after a late or duplicate notification, and during a backoff.
    """
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
    """Renew the lease and return the user's request, if any: `cancel` or `pause`.

    Raises LeaseLost: the caller must kill its run immediately and write nothing more.
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
