"""Indexes that keep every page and every look into the queue as fast with a million jobs."""

from alembic import op

from distillery.migrations import columns as c

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

SCORES = ("student_accuracy", "teacher_accuracy", "baseline_accuracy", "gain")
QUEUED = "state = 'queued'"


def upgrade() -> None:
    """Scores by state, the queue by task, idempotency keys by age."""
    for score in SCORES:
        op.drop_index(op.f(f"ix_jobs_tenant_task_{score}_id"), "jobs")
        c.index("jobs", "tenant", "task", "state", score, "id")
    op.drop_index("ix_jobs_waiting", "jobs")
    c.partial_index("ix_jobs_waiting", "jobs", QUEUED, "task", "queued_at", "id")
    c.index("idempotency_keys", "created_at")


def downgrade() -> None:
    """The indexes of before."""
    op.drop_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys")
    op.drop_index("ix_jobs_waiting", "jobs")
    c.partial_index("ix_jobs_waiting", "jobs", QUEUED, "queued_at")
    for score in SCORES:
        op.drop_index(op.f(f"ix_jobs_tenant_task_state_{score}_id"), "jobs")
        c.index("jobs", "tenant", "task", score, "id")
