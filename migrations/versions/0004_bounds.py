"""What bounds and retention ask: a worker's trouble, an attempt's events, who names which blob."""

import sqlalchemy as sa
from alembic import op

from distillery.migrations import columns as c

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

NAMING_BLOBS = (
    ("uploads", "blob"),
    ("models", "upload_blob"),
    ("models", "blob"),
    ("datasets", "blob"),
    ("artifacts", "sha256"),
    ("teacher_outputs", "blob"),
)


def upgrade() -> None:
    """Two columns that a program of before, still running, need not know, and indexes."""
    op.add_column("workers", c.string("trouble", null=True))
    op.add_column(
        "attempts", sa.Column("events", sa.Integer(), nullable=False, server_default=sa.text("0"))
    )
    c.index("jobs", "finished_at")
    for table, column in NAMING_BLOBS:
        c.index(table, column)


def downgrade() -> None:
    """Drop them."""
    for table, column in NAMING_BLOBS:
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
    op.drop_index(op.f("ix_jobs_finished_at"), "jobs")
    op.drop_column("attempts", "events")
    op.drop_column("workers", "trouble")
