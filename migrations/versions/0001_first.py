"""The first schema: every table of the first version."""

import sqlalchemy as sa
from alembic import op

from distillery.migrations import columns as c

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

STATES = "state IN ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')"


def upgrade() -> None:
    """Create every table."""
    for create in TABLES.values():
        create()


def downgrade() -> None:
    """Drop every table."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        c.string("id"),
        c.string("tenant"),
        c.string("name"),
        c.string("secret_hash", 64),
        c.string("scopes"),
        c.big("created_at"),
        c.big("expires_at", null=True),
        c.big("last_used_at", null=True),
        c.big("revoked_at", null=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )


def _create_blobs() -> None:
    op.create_table(
        "blobs",
        c.string("sha256", 64),
        c.big("size"),
        c.big("created_at"),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blobs")),
    )


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        c.string("tenant"),
        c.string("key"),
        c.string("fingerprint", 64),
        c.integer("status"),
        c.string("location", null=True),
        c.json("body"),
        c.big("created_at"),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_idempotency_keys")),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        c.string("id"),
        c.string("tenant"),
        c.string("task"),
        c.string("name"),
        c.json("spec"),
        c.string("subject", null=True),
        c.string("state", 20),
        c.string("phase", null=True),
        c.string("request", 10, null=True),
        c.integer("attempt"),
        c.integer("failures"),
        c.string("worker", null=True),
        c.big("lease_until", null=True),
        c.big("not_before"),
        c.big("last_event"),
        c.json("progress", null=True),
        c.json("latest"),
        c.json("result", null=True),
        c.json("error", null=True),
        c.string("student_model", null=True),
        c.real("student_accuracy", null=True),
        c.real("teacher_accuracy", null=True),
        c.real("baseline_accuracy", null=True),
        c.real("gain", null=True),
        c.big("created_at"),
        c.big("queued_at"),
        c.big("started_at", null=True),
        c.big("finished_at", null=True),
        c.big("updated_at"),
        c.big("version"),
        sa.CheckConstraint(
            "state <> 'running' OR lease_until IS NOT NULL", name=op.f("ck_jobs_lease")
        ),
        sa.CheckConstraint(STATES, name=op.f("ck_jobs_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    c.partial_index("ix_jobs_leased", "jobs", "state = 'running'", "lease_until")
    c.index("jobs", "tenant", "task", "baseline_accuracy", "id")
    c.index("jobs", "tenant", "task", "gain", "id")
    c.index("jobs", "tenant", "task", "id")
    c.index("jobs", "tenant", "task", "state", "id")
    c.index("jobs", "tenant", "task", "student_accuracy", "id")
    c.index("jobs", "tenant", "task", "teacher_accuracy", "id")
    c.partial_index("ix_jobs_waiting", "jobs", "state = 'queued'", "queued_at")


def _create_workers() -> None:
    op.create_table(
        "workers",
        c.string("name"),
        c.integer("slots"),
        c.big("started_at"),
        c.big("seen_at"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )


def _create_artifacts() -> None:
    op.create_table(
        "artifacts",
        c.string("id"),
        c.string("tenant"),
        c.string("job_id"),
        c.string("kind", 40),
        c.string("name"),
        c.string("media_type"),
        c.big("size"),
        c.string("sha256", 64),
        c.real("max_abs_diff", null=True),
        c.big("created_at"),
        c.foreign_key("artifacts", "job_id", "jobs.id"),
        c.foreign_key("artifacts", "sha256", "blobs.sha256"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
    )
    c.index("artifacts", "job_id", "name", unique=True)


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        c.string("job_id"),
        c.integer("number"),
        c.string("worker"),
        c.big("started_at"),
        c.big("ended_at", null=True),
        c.string("outcome", 40, null=True),
        c.text("message", null=True),
        c.big("last_seq"),
        c.foreign_key("attempts", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_attempts")),
    )


def _create_datasets() -> None:
    op.create_table(
        "datasets",
        c.string("id"),
        c.string("tenant"),
        c.string("name"),
        c.string("state"),
        c.string("format"),
        c.string("blob", 64),
        c.json("info", null=True),
        c.json("error", null=True),
        c.string("inspect_job", null=True),
        c.big("created_at"),
        c.big("version"),
        c.foreign_key("datasets", "blob", "blobs.sha256"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
    )
    c.index("datasets", "tenant", "id")


def _create_events() -> None:
    op.create_table(
        "events",
        c.string("job_id"),
        c.big("id"),
        c.integer("attempt"),
        c.string("kind", 20),
        c.big("at"),
        c.json("body"),
        c.foreign_key("events", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("job_id", "id", name=op.f("pk_events")),
    )


def _create_metric_points() -> None:
    op.create_table(
        "metric_points",
        c.string("job_id"),
        c.string("series"),
        c.big("step"),
        c.real("value"),
        c.integer("attempt"),
        c.foreign_key("metric_points", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("job_id", "series", "step", name=op.f("pk_metric_points")),
    )


def _create_models() -> None:
    op.create_table(
        "models",
        c.string("id"),
        c.string("tenant"),
        c.string("name"),
        c.string("state"),
        c.string("format"),
        c.json("network"),
        c.string("upload_blob", 64, null=True),
        c.string("blob", 64, null=True),
        c.big("parameters", null=True),
        c.json("modules", null=True),
        c.json("error", null=True),
        c.string("inspect_job", null=True),
        c.string("source_job", null=True),
        c.big("created_at"),
        c.big("version"),
        c.foreign_key("models", "blob", "blobs.sha256"),
        c.foreign_key("models", "upload_blob", "blobs.sha256"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
    )
    c.index("models", "tenant", "id")


def _create_transitions() -> None:
    op.create_table(
        "transitions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        c.string("job_id"),
        c.string("source", 20, null=True),
        c.string("target", 20),
        c.integer("attempt"),
        c.big("at"),
        c.text("message"),
        c.foreign_key("transitions", "job_id", "jobs.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transitions")),
    )
    c.index("transitions", "job_id", "id")


def _create_uploads() -> None:
    op.create_table(
        "uploads",
        c.string("id"),
        c.string("tenant"),
        c.string("state"),
        c.string("filename", null=True),
        c.big("size"),
        c.big("part_size"),
        c.string("expected_sha256", 64, null=True),
        c.string("blob", 64, null=True),
        c.big("created_at"),
        c.big("expires_at"),
        c.big("version"),
        c.foreign_key("uploads", "blob", "blobs.sha256"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    c.index("uploads", "state", "expires_at")
    c.index("uploads", "tenant", "blob")


def _create_upload_parts() -> None:
    op.create_table(
        "upload_parts",
        c.string("upload_id"),
        c.integer("number"),
        c.big("size"),
        c.string("sha256", 64),
        c.foreign_key("upload_parts", "upload_id", "uploads.id"),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("pk_upload_parts")),
    )


TABLES = {  # parents before children
    "api_keys": _create_api_keys,
    "blobs": _create_blobs,
    "idempotency_keys": _create_idempotency_keys,
    "jobs": _create_jobs,
    "workers": _create_workers,
    "artifacts": _create_artifacts,
    "attempts": _create_attempts,
    "datasets": _create_datasets,
    "events": _create_events,
    "metric_points": _create_metric_points,
    "models": _create_models,
    "transitions": _create_transitions,
    "uploads": _create_uploads,
    "upload_parts": _create_upload_parts,
}
