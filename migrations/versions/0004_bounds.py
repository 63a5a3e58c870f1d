"""What bounds need to know: why a worker takes no jobs, and how many events an attempt has."""

import sqlalchemy as sa
from alembic import op

from migrations import columns as c

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Two columns that a program of before, still running, need not know."""
    op.add_column("workers", c.string("trouble", null=True))
    op.add_column(
        "attempts", sa.Column("events", sa.Integer(), nullable=False, server_default=sa.text("0"))
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_column("attempts", "events")
    op.drop_column("workers", "trouble")
