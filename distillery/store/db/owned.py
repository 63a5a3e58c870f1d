"""Looks up one row of a tenant by its id."""

from typing import TypeVar

from sqlalchemy.orm import Session

from distillery.store.db.tables import Artifact, Dataset, Job, Model, Upload
from distillery.store.errors import NotFound

Owned = TypeVar("Owned", Model, Dataset, Upload, Artifact, Job)


def get_owned(s: Session, table: type[Owned], tenant: str, row_id: str) -> Owned:
    """Return a row of this tenant. Raises NotFound, also for another tenant's row."""
    row = s.get(table, row_id)
    if row is None or row.tenant != tenant:
        raise NotFound(f"no {table.__name__.lower()} {row_id}")
    return row
