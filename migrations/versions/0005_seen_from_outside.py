"""What the service says of itself: when it swept last, paused jobs counted, traces of jobs."""

import sqlalchemy as sa
from alembic import op

from distillery.migrations import columns as c

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "reaper_status"
PAUSED = "state = 'paused'"


def upgrade() -> None:
    """One row of reaper runs, an index of paused jobs, a column for the trace a job belongs to."""
    op.create_table(
        TABLE,
        c.string("name"),
        c.big("at"),
        c.integer("every_ms"),
        c.integer("took_ms"),
        c.big("count"),
        c.big("rescued"),
        c.big("blob_bytes", null=True),
        c.big("blobs_at"),
        sa.PrimaryKeyConstraint("name", name=op.f(f"pk_{TABLE}")),
    )
    c.partial_index("ix_jobs_paused", "jobs", PAUSED, "task")
    op.add_column("jobs", c.string("traceparent", 55, null=True))


def downgrade() -> None:
    """Drop all three."""
    op.drop_column("jobs", "traceparent")
    op.drop_index("ix_jobs_paused", "jobs")
    op.drop_table(TABLE)
