"""Tables of jobs: their moves, attempts, events and metrics, and the workers."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from distillery.store.db.tables.base import Json, Table
from distillery.wire.states import State

_STATES = ", ".join(f"'{state}'" for state in State)
# Text in the database, a State in Python; the check constraint is named below.
_STATE = Enum(State, native_enum=False, length=20, values_callable=lambda states: list(states))


class Job(Table):
    """What a user asked for. The row is authoritative; a broker's message is only a hint."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    task: Mapped[str]  # distill, inspect_model, inspect_dataset
    name: Mapped[str]
    spec: Mapped[Json]  # distillery.wire.jobspec.JobSpec, or {} for an inspection
    subject: Mapped[str | None]  # the model or dataset an inspection is about
    state: Mapped[State] = mapped_column(_STATE)
    phase: Mapped[str | None]
    request: Mapped[str | None] = mapped_column(String(10))  # cancel, pause
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    # Attempts that died; `poison` at the limit.
    failures: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str | None]
    lease_until: Mapped[int | None]
    not_before: Mapped[int] = mapped_column(default=0)  # backoff after a failure
    last_event: Mapped[int] = mapped_column(default=0)  # highest events.id of this job
    progress: Mapped[Json | None]
    latest: Mapped[Json] = mapped_column(default=dict)  # metric name -> last value
    result: Mapped[Json | None]
    error: Mapped[Json | None]
    student_model: Mapped[str | None]
    student_accuracy: Mapped[float | None]  # these four once it has succeeded, for sorting
    teacher_accuracy: Mapped[float | None]
    baseline_accuracy: Mapped[float | None]
    gain: Mapped[float | None]
    created_at: Mapped[int]
    queued_at: Mapped[int]
    started_at: Mapped[int | None]
    finished_at: Mapped[int | None]
    updated_at: Mapped[int]
    traceparent: Mapped[str | None] = mapped_column(String(55))  # W3C, from the request
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        # A running job always has a lease, so that the reaper finds every lapsed one.
        CheckConstraint("state <> 'running' OR lease_until IS NOT NULL", name="lease"),
        Index(None, "tenant", "task", "id"),
        Index(None, "tenant", "task", "state", "id"),
        # Only succeeded jobs have a value: the index sorts those by value and all others by age.
        Index(None, "tenant", "task", "state", "student_accuracy", "id"),
        Index(None, "tenant", "task", "state", "teacher_accuracy", "id"),
        Index(None, "tenant", "task", "state", "baseline_accuracy", "id"),
        Index(None, "tenant", "task", "state", "gain", "id"),
        Index(None, "finished_at"),  # for retention
        Index(
            "ix_jobs_waiting",
            "task",
            "queued_at",
            "id",
            postgresql_where=text("state = 'queued'"),
            sqlite_where=text("state = 'queued'"),
        ),
        Index(
            "ix_jobs_leased",
            "lease_until",
            postgresql_where=text("state = 'running'"),
            sqlite_where=text("state = 'running'"),
        ),
        Index(
            "ix_jobs_paused",
            "task",
            postgresql_where=text("state = 'paused'"),
            sqlite_where=text("state = 'paused'"),
        ),
    )


class Transition(Table):
    """A change of a job's state, inserted in the transaction that made it."""

    __tablename__ = "transitions"
    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    source: Mapped[str | None] = mapped_column(String(20))
    target: Mapped[str] = mapped_column(String(20))
    attempt: Mapped[int] = mapped_column(Integer)
    at: Mapped[int]
    message: Mapped[str] = mapped_column(Text)
    __table_args__ = (Index(None, "job_id", "id"),)


class Attempt(Table):
    """One worker's try at a job."""

    __tablename__ = "attempts"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    worker: Mapped[str]
    started_at: Mapped[int]
    ended_at: Mapped[int | None]
    outcome: Mapped[str | None] = mapped_column(String(40))
    message: Mapped[str | None] = mapped_column(Text)
    last_seq: Mapped[int] = mapped_column(default=0)  # of the run's events appended so far
    events: Mapped[int] = mapped_column(Integer, default=0)  # rows of this attempt


class Worker(Table):
    """A worker and its last heartbeat, to explain why a queued job waits."""

    __tablename__ = "workers"
    name: Mapped[str] = mapped_column(primary_key=True)
    slots: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[int]
    seen_at: Mapped[int]
    trouble: Mapped[str | None]  # why it takes no job at present


class ReaperStatus(Table):
    """One row with the reaper's last pass, to see when it is late, and its totals."""

    __tablename__ = "reaper_status"
    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[int]  # the end of the last pass
    every_ms: Mapped[int] = mapped_column(Integer)
    took_ms: Mapped[int] = mapped_column(Integer)
    count: Mapped[int]
    reclaimed: Mapped[int]  # lapsed leases in all passes
    blob_bytes: Mapped[int | None]  # of all blobs, as measured at `blobs_at`
    blobs_at: Mapped[int]


class Event(Table):
    """One event of a run, numbered per job from 1 without gaps; metric values are MetricPoints."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(20))
    at: Mapped[int]
    body: Mapped[Json]


class MetricPoint(Table):
    """One scalar at one step; a resumed attempt that repeats a step replaces its value.

    `event`: the id of the event that shows it, None where events were thinned out.
    """

    __tablename__ = "metric_points"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    series: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float] = mapped_column(Float(53))
    attempt: Mapped[int] = mapped_column(Integer)
    event: Mapped[int | None]
