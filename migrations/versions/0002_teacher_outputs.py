"""Teachers' outputs, shared between the jobs of a tenant."""

import sqlalchemy as sa
from alembic import op

from distillery.migrations import columns as c

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "teacher_outputs"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        TABLE,
        c.string("tenant"),
        c.string("key", 64),
        c.string("teacher", 64),
        c.string("dataset", 64),
        c.string("blob", 64),
        c.big("size"),
        c.big("created_at"),
        c.big("used_at"),
        c.foreign_key(TABLE, "blob", "blobs.sha256"),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f(f"pk_{TABLE}")),
    )
    c.index(TABLE, "tenant", "dataset", "teacher")
    c.index(TABLE, "used_at")


def downgrade() -> None:
    """Drop it; the files' blobs stay."""
    op.drop_table(TABLE)
