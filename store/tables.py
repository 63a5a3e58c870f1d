"""Every table. Times are milliseconds since 1970 in database time; ids are prefixed, sortable."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.states import State

Json = dict[str, Any]
_STATES = ", ".join(f"'{state}'" for state in State)
# Text in the database, a State in Python; the check on it has a name of its own below.
_STATE = Enum(State, native_enum=False, length=20, values_callable=lambda states: list(states))


class Table(DeclarativeBase):
    """Base with a naming convention, so that migrations can name every constraint."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        Json: JSON(none_as_null=True),
        int: BigInteger,
        str: String(200),
        float: Float(53),
    }


class Blob(Table):
    """Bytes on storage, named by their sha256."""

    __tablename__ = "blobs"
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int]
    created_at: Mapped[int]


class Upload(Table):
    """A file on its way in, part by part. State: open, complete, aborted, expired."""

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    state: Mapped[str]
    filename: Mapped[str | None]
    size: Mapped[int]
    part_size: Mapped[int]
    expected_sha256: Mapped[str | None] = mapped_column(String(64))
    blob: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"))
    created_at: Mapped[int]
    expires_at: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (Index(None, "tenant", "blob"), Index(None, "state", "expires_at"))


class UploadPart(Table):
    """One part of an upload that has arrived whole; numbered from 1."""

    __tablename__ = "upload_parts"
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))


class Model(Table):
    """A network with weights, uploaded or made by a job. State: inspecting, ready, rejected."""

    __tablename__ = "models"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    format: Mapped[str]  # of the upload; the stored blob is always safetensors once ready
    network: Mapped[Json]  # kdcore.spec.run.Network
    upload_blob: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"))
    blob: Mapped[str | None] = mapped_column(ForeignKey("blobs.sha256"))
    parameters: Mapped[int | None]
    modules: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[Json | None]
    inspect_job: Mapped[str | None]
    source_job: Mapped[str | None]  # the job whose student this is
    created_at: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (Index(None, "tenant", "id"),)


class Dataset(Table):
    """Images, with or without labels. State: inspecting, ready, rejected."""

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    name: Mapped[str]
    state: Mapped[str]
    format: Mapped[str]
    blob: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    info: Mapped[Json | None]  # kdcore.spec.result.InspectDatasetResult
    error: Mapped[Json | None]
    inspect_job: Mapped[str | None]
    created_at: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (Index(None, "tenant", "id"),)


class Job(Table):
    """What a user asked for. The row is the truth; a ring on the broker is only a doorbell."""

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    task: Mapped[str]  # distill, inspect_model, inspect_dataset
    name: Mapped[str]
    spec: Mapped[Json]  # store.jobspec.JobSpec, or {} for an inspection
    subject: Mapped[str | None]  # the model or dataset an inspection is about
    state: Mapped[State] = mapped_column(_STATE)
    phase: Mapped[str | None]
    request: Mapped[str | None] = mapped_column(String(10))  # cancel, pause
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    failures: Mapped[int] = mapped_column(
        Integer, default=0
    )  # attempts that died; poison at the limit
    worker: Mapped[str | None]
    lease_until: Mapped[int | None]
    not_before: Mapped[int] = mapped_column(default=0)  # backoff after a death
    last_event: Mapped[int] = mapped_column(default=0)  # highest events.id of this job
    progress: Mapped[Json | None]
    latest: Mapped[Json] = mapped_column(default=dict)  # metric name -> last value
    result: Mapped[Json | None]
    error: Mapped[Json | None]
    student_model: Mapped[str | None]
    student_accuracy: Mapped[float | None]  # these four once succeeded, for ordering
    teacher_accuracy: Mapped[float | None]
    baseline_accuracy: Mapped[float | None]
    gain: Mapped[float | None]
    created_at: Mapped[int]
    queued_at: Mapped[int]
    started_at: Mapped[int | None]
    finished_at: Mapped[int | None]
    updated_at: Mapped[int]
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (
        CheckConstraint(f"state IN ({_STATES})", name="state"),
        # A running job always has a lease, so that the sweep can find every one that lapsed.
        CheckConstraint("state <> 'running' OR lease_until IS NOT NULL", name="lease"),
        Index(None, "tenant", "task", "id"),
        Index(None, "tenant", "task", "state", "id"),
        # Only succeeded jobs have a value: the best of them lie together, and the jobs of any
        # state that have none lie by age.
        Index(None, "tenant", "task", "state", "student_accuracy", "id"),
        Index(None, "tenant", "task", "state", "teacher_accuracy", "id"),
        Index(None, "tenant", "task", "state", "baseline_accuracy", "id"),
        Index(None, "tenant", "task", "state", "gain", "id"),
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
    )


class Transition(Table):
    """One move of a job, written in the transaction that made it."""

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
    last_seq: Mapped[int] = mapped_column(default=0)  # of the run's events kept so far


class Worker(Table):
    """A worker that beats, so that we can say why a queued job waits."""

    __tablename__ = "workers"
    name: Mapped[str] = mapped_column(primary_key=True)
    slots: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[int]
    seen_at: Mapped[int]


class Event(Table):
    """What a run said, numbered per job from 1 without gaps."""

    __tablename__ = "events"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(20))
    at: Mapped[int]
    body: Mapped[Json]


class MetricPoint(Table):
    """One scalar at one step; a resumed attempt that repeats a step replaces its value."""

    __tablename__ = "metric_points"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    series: Mapped[str] = mapped_column(primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float] = mapped_column(Float(53))
    attempt: Mapped[int] = mapped_column(Integer)


class Artifact(Table):
    """A file a job made, visible once its job has succeeded."""

    __tablename__ = "artifacts"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    kind: Mapped[str] = mapped_column(String(40))
    name: Mapped[str]
    media_type: Mapped[str]
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    max_abs_diff: Mapped[float | None] = mapped_column(Float(53))
    created_at: Mapped[int]
    __table_args__ = (Index(None, "job_id", "name", unique=True),)


class IdempotencyKey(Table):
    """The answer to a creating POST, kept in the transaction that did the work."""

    __tablename__ = "idempotency_keys"
    tenant: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))  # of method, path and body
    status: Mapped[int] = mapped_column(Integer)
    location: Mapped[str | None]
    body: Mapped[Json]
    created_at: Mapped[int]
    __table_args__ = (Index(None, "created_at"),)


class ApiKey(Table):
    """A bearer key; only its secret's hash is stored. Scopes (read, write, admin) comma-joined."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    name: Mapped[str]
    secret_hash: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str]
    created_at: Mapped[int]
    expires_at: Mapped[int | None]
    last_used_at: Mapped[int | None]
    revoked_at: Mapped[int | None]
