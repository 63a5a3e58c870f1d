"""Columns, keys and indexes as the migrations write them, each with its name."""

import sqlalchemy as sa
from alembic import op


def string(name: str, length: int = 200, *, null: bool = False) -> sa.Column[str]:
    """VARCHAR."""
    return sa.Column(name, sa.String(length), nullable=null)


def text(name: str, *, null: bool = False) -> sa.Column[str]:
    """Text of any length."""
    return sa.Column(name, sa.Text(), nullable=null)


def big(name: str, *, null: bool = False) -> sa.Column[int]:
    """64-bit integer."""
    return sa.Column(name, sa.BigInteger(), nullable=null)


def integer(name: str, *, null: bool = False) -> sa.Column[int]:
    """32-bit integer."""
    return sa.Column(name, sa.Integer(), nullable=null)


def real(name: str, *, null: bool = False) -> sa.Column[float]:
    """Double precision."""
    return sa.Column(name, sa.Float(53), nullable=null)


def json(name: str, *, null: bool = False) -> sa.Column[object]:
    """JSON, as text."""
    return sa.Column(name, sa.JSON(), nullable=null)


def foreign_key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    """A named foreign key."""
    name = f"fk_{table}_{column}_{target.split('.')[0]}"
    return sa.ForeignKeyConstraint([column], [target], name=op.f(name))


def partial_index(name: str, table: str, condition: str, *columns: str) -> None:
    """An index over the rows that meet a condition."""
    where = sa.text(condition)
    op.create_index(name, table, list(columns), sqlite_where=where, postgresql_where=where)


def index(table: str, *columns: str, unique: bool = False) -> None:
    """An index named after its columns."""
    name = f"ix_{table}_{'_'.join(columns)}"
    op.create_index(op.f(name), table, list(columns), unique=unique)
