"""Creates every table of the first release."""

import sqlalchemy as sa
from alembic import op

from distillery.migrations import columns as c

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Create every table."""
    for create in TABLES.values():
        create()


def downgrade() -> None:
    """Drop every table."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_api_keys() -> None:
    c.table(
        "api_keys",
        *c.strings("id", "tenant", "name", "scopes"),
        c.string("secret_hash", 64),
        c.big("created_at"),
        c.big("expires_at", null=True),
        c.big("last_used_at", null=True),
        c.big("revoked_at", null=True),
    )


def _create_blobs() -> None:
    c.table("blobs", c.string("sha256", 64), *c.bigs("size", "created_at"), key=("sha256",))


def _create_idempotency_keys() -> None:
    c.table(
        "idempotency_keys",
        *c.strings("tenant", "key"),
        c.string("fingerprint", 64),
        c.integer("status"),
        c.string("location", null=True),
        c.json("body"),
        c.big("created_at"),
        key=("tenant", "key"),
    )
    c.index("idempotency_keys", "created_at")


def _create_workers() -> None:
    c.table(
        "workers",
        c.string("name"),
        c.integer("slots"),
        *c.bigs("started_at", "seen_at"),
        c.string("trouble", null=True),
        key=("name",),
    )


def _create_reaper_status() -> None:
    c.table(
        "reaper_status",
        c.string("name"),
        c.big("at"),
        c.integer("every_ms"),
        c.integer("took_ms"),
        *c.bigs("count", "reclaimed", "blobs_at"),
        c.big("blob_bytes", null=True),
        key=("name",),
    )


def _create_jobs() -> None:
    c.table(
        "jobs",
        *c.strings("id", "tenant", "task", "name"),
        c.json("spec"),
        c.string("subject", null=True),
        c.string("state", 20),
        c.string("phase", null=True),
        c.string("request", 10, null=True),
        c.integer("attempt"),
        c.integer("failures"),
        c.string("worker", null=True),
        c.big("lease_until", null=True),
        *c.bigs("not_before", "last_event"),
        c.json("progress", null=True),
        c.json("latest"),
        c.json("result", null=True),
        c.json("error", null=True),
        c.string("student_model", null=True),
        c.real("student_accuracy", null=True),
        c.real("teacher_accuracy", null=True),
        c.real("baseline_accuracy", null=True),
        c.real("gain", null=True),
        *c.bigs("created_at", "queued_at", "updated_at"),
        c.big("started_at", null=True),
        c.big("finished_at", null=True),
        c.string("traceparent", 55, null=True),
        c.big("version"),
        checks={
            "state": "state IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')",
            "lease": "state <> 'running' OR lease_until IS NOT NULL",
        },
    )
    c.index("jobs", "finished_at")
    c.index("jobs", "tenant", "task", "id")
    c.index("jobs", "tenant", "task", "state", "id")
    for score in ("student_accuracy", "teacher_accuracy", "baseline_accuracy", "gain"):
        c.index("jobs", "tenant", "task", "state", score, "id")
    c.partial_index("ix_jobs_waiting", "jobs", "state = 'queued'", "task", "queued_at", "id")
    c.partial_index("ix_jobs_leased", "jobs", "state = 'running'", "lease_until")
    c.partial_index("ix_jobs_paused", "jobs", "state = 'paused'", "task")


def _create_transitions() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    c.table(
        "transitions",
        sa.Column("id", number, nullable=False),
        c.string("job_id"),
        c.string("source", 20, null=True),
        c.string("target", 20),
        c.integer("attempt"),
        c.big("at"),
        c.text("message"),
        references={"job_id": "jobs.id"},
    )
    c.index("transitions", "job_id", "id")


def _create_attempts() -> None:
    c.table(
        "attempts",
        c.string("job_id"),
        c.integer("number"),
        c.string("worker"),
        c.big("started_at"),
        c.big("ended_at", null=True),
        c.string("outcome", 40, null=True),
        c.text("message", null=True),
        c.big("last_seq"),
        c.integer("events"),
        key=("job_id", "number"),
        references={"job_id": "jobs.id"},
    )


def _create_events() -> None:
    c.table(
        "events",
        c.string("job_id"),
        c.big("id"),
        c.integer("attempt"),
        c.string("kind", 20),
        c.big("at"),
        c.json("body"),
        key=("job_id", "id"),
        references={"job_id": "jobs.id"},
    )


def _create_metric_points() -> None:
    c.table(
        "metric_points",
        *c.strings("job_id", "series"),
        c.big("step"),
        c.real("value"),
        c.integer("attempt"),
        c.big("event", null=True),
        key=("job_id", "series", "step"),
        references={"job_id": "jobs.id"},
    )


def _create_models() -> None:
    c.table(
        "models",
        *c.strings("id", "tenant", "name", "state", "format"),
        c.json("network"),
        c.string("blob", 64),
        c.big("parameters", null=True),
        c.json("modules", null=True),
        c.json("error", null=True),
        c.string("inspect_job", null=True),
        c.string("source_job", null=True),
        *c.bigs("created_at", "version"),
        references={"blob": "blobs.sha256"},
    )
    c.index("models", "tenant", "id")
    c.index("models", "blob")


def _create_datasets() -> None:
    c.table(
        "datasets",
        *c.strings("id", "tenant", "name", "state", "format"),
        c.string("blob", 64),
        c.json("info", null=True),
        c.json("error", null=True),
        c.string("inspect_job", null=True),
        *c.bigs("created_at", "version"),
        references={"blob": "blobs.sha256"},
    )
    c.index("datasets", "tenant", "id")
    c.index("datasets", "blob")


def _create_artifacts() -> None:
    c.table(
        "artifacts",
        *c.strings("id", "tenant", "job_id", "name", "media_type"),
        c.string("kind", 40),
        c.big("size"),
        c.string("sha256", 64),
        c.real("max_abs_diff", null=True),
        c.big("created_at"),
        references={"job_id": "jobs.id", "sha256": "blobs.sha256"},
    )
    c.index("artifacts", "job_id", "name", unique=True)
    c.index("artifacts", "sha256")


def _create_teacher_outputs() -> None:
    c.table(
        "teacher_outputs",
        c.string("tenant"),
        c.string("key", 64),
        c.string("teacher", 64),
        c.string("dataset", 64),
        c.string("blob", 64),
        *c.bigs("size", "created_at", "used_at"),
        key=("tenant", "key"),
        references={"blob": "blobs.sha256"},
    )
    c.index("teacher_outputs", "tenant", "dataset", "teacher")
    c.index("teacher_outputs", "blob")
    c.index("teacher_outputs", "used_at")


def _create_uploads() -> None:
    c.table(
        "uploads",
        *c.strings("id", "tenant", "state"),
        c.string("filename", null=True),
        *c.bigs("size", "part_size"),
        c.string("expected_sha256", 64, null=True),
        c.string("blob", 64, null=True),
        *c.bigs("created_at", "expires_at", "version"),
        references={"blob": "blobs.sha256"},
    )
    c.index("uploads", "tenant", "blob")
    c.index("uploads", "blob")
    c.index("uploads", "state", "expires_at")


def _create_upload_parts() -> None:
    c.table(
        "upload_parts",
        c.string("upload_id"),
        c.integer("number"),
        c.big("size"),
        c.string("sha256", 64),
        key=("upload_id", "number"),
        references={"upload_id": "uploads.id"},
    )


TABLES = {  # parents before children
    "api_keys": _create_api_keys,
    "blobs": _create_blobs,
    "idempotency_keys": _create_idempotency_keys,
    "workers": _create_workers,
    "reaper_status": _create_reaper_status,
    "jobs": _create_jobs,
    "transitions": _create_transitions,
    "attempts": _create_attempts,
    "events": _create_events,
    "metric_points": _create_metric_points,
    "models": _create_models,
    "datasets": _create_datasets,
    "artifacts": _create_artifacts,
    "teacher_outputs": _create_teacher_outputs,
    "uploads": _create_uploads,
    "upload_parts": _create_upload_parts,
}
