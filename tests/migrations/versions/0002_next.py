"""A second revision of the tests' own, until there is a real one: columns and an index more."""

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

TABLES = ("jobs", "attempts", "events", "workers")


def upgrade() -> None:
    """Add a column that a running program of the release before need not know, and an index."""
    for table in TABLES:
        op.add_column(
            table, sa.Column("newer", sa.Integer(), nullable=False, server_default=sa.text("1"))
        )
    op.create_index("ix_jobs_newer", "jobs", ["newer"])


def downgrade() -> None:
    """Remove them."""
    op.drop_index("ix_jobs_newer", "jobs")
    for table in TABLES:
        op.drop_column(table, "newer")
