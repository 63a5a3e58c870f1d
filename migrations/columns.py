"""Helpers for migrations: tables, columns and indexes, each with its conventional name."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op


def string(name: str, length: int = 200, *, null: bool = False) -> sa.Column[str]:
    """Return a VARCHAR column."""
    return sa.Column(name, sa.String(length), nullable=null)


def strings(*names: str) -> list[sa.Column[str]]:
    """Return VARCHAR columns of the usual length that are never null."""
    return [string(name) for name in names]


def text(name: str, *, null: bool = False) -> sa.Column[str]:
    """Return a column for text of any length."""
    return sa.Column(name, sa.Text(), nullable=null)


def big(name: str, *, null: bool = False) -> sa.Column[int]:
    """Return a 64-bit integer column."""
    return sa.Column(name, sa.BigInteger(), nullable=null)


def bigs(*names: str) -> list[sa.Column[int]]:
    """Return 64-bit integer columns that are never null."""
    return [big(name) for name in names]


def integer(name: str, *, null: bool = False) -> sa.Column[int]:
    """Return a 32-bit integer column."""
    return sa.Column(name, sa.Integer(), nullable=null)


def real(name: str, *, null: bool = False) -> sa.Column[float]:
    """Return a double precision column."""
    return sa.Column(name, sa.Float(53), nullable=null)


def json(name: str, *, null: bool = False) -> sa.Column[object]:
    """Return a JSON column, stored as text."""
    return sa.Column(name, sa.JSON(), nullable=null)


def table(
    name: str,
    *columns: sa.Column[Any],
    key: tuple[str, ...] = ("id",),
    references: Mapping[str, str] | None = None,
    checks: Mapping[str, str] | None = None,
) -> None:
    """Create a table. `references`: column to `table.column`; `checks`: name to SQL condition."""
    constraints: list[sa.Constraint] = [sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}"))]
    for column, target in (references or {}).items():
        label = f"fk_{name}_{column}_{target.partition('.')[0]}"
        constraints.append(sa.ForeignKeyConstraint([column], [target], name=op.f(label)))
    for check, condition in (checks or {}).items():
        constraints.append(sa.CheckConstraint(condition, name=op.f(f"ck_{name}_{check}")))
    op.create_table(name, *columns, *constraints)


def index(table: str, *columns: str, unique: bool = False) -> None:
    """Create an index named after its columns."""
    name = f"ix_{table}_{'_'.join(columns)}"
    op.create_index(op.f(name), table, list(columns), unique=unique)


def partial_index(name: str, table: str, condition: str, *columns: str) -> None:
    """Create an index over the rows that meet a condition."""
    where = sa.text(condition)
    op.create_index(name, table, list(columns), sqlite_where=where, postgresql_where=where)
