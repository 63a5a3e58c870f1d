"""INSERT ... ON CONFLICT for both databases, whose dialects SQLAlchemy keeps apart."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from distillery.store.db.tables import Table

Rows = Sequence[dict[str, Any]]


def insert_missing(session: Session, table: type[Table], rows: Rows) -> None:
    """Insert rows; leave those whose primary key exists as they are."""
    if rows:
        session.execute(_insert(session, table).on_conflict_do_nothing(), rows)


def upsert(session: Session, table: type[Table], rows: Rows, *changing: str) -> None:
    """Insert rows; update the `changing` columns of those whose primary key exists."""
    if not rows:
        return
    keys = [column.name for column in table.__table__.primary_key]
    statement = _insert(session, table)
    new = {name: statement.excluded[name] for name in changing}
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), rows)


def _insert(session: Session, table: type[Table]) -> sqlite.Insert | postgresql.Insert:
    # Both types have the on_conflict_* methods used here.
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)
