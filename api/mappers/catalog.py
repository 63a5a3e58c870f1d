"""Maps rows of models and datasets to views."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.api.mappers.common import failure_of, time_of
from distillery.store.db import tables
from distillery.wire.catalog import Dataset, Model

_COUNTS = (
    "train",
    "test",
    "labelled",
    "num_classes",
    "class_names",
    "channels",
    "height",
    "width",
)


def model_view(row: tables.Model, size: int, *, modules: bool) -> Model:
    """Return the view of a model whose blob has `size` bytes, with its module paths if `modules`.

    The blob of a model that is not ready is the uploaded file, which the view leaves out.
    """
    is_ready = row.state == "ready"
    return Model.model_validate(
        {
            "id": row.id,
            "name": row.name,
            "state": row.state,
            "network": row.network,
            "parameters": row.parameters,
            "size_bytes": size if is_ready else None,
            "sha256": row.blob if is_ready else None,
            "modules": row.modules if modules else None,
            "error": failure_of(row.error),
            "inspect_job": row.inspect_job,
            "source_job": row.source_job,
            "created_at": time_of(row.created_at),
        }
    )


def dataset_view(row: tables.Dataset, size: int) -> Dataset:
    """Return the view of a dataset whose blob has `size` bytes."""
    info = row.info or {}
    return Dataset.model_validate(
        {
            "id": row.id,
            "name": row.name,
            "state": row.state,
            "format": row.format,
            "size_bytes": size,
            "sha256": row.blob,
            "error": failure_of(row.error),
            "inspect_job": row.inspect_job,
            "created_at": time_of(row.created_at),
            **{name: info.get(name) for name in _COUNTS},
        }
    )


def blob_sizes(s: Session, hashes: Iterable[str]) -> dict[str, int]:
    """Return the size in bytes of each blob."""
    wanted = set(hashes)
    if not wanted:
        return {}
    query = select(tables.Blob.sha256, tables.Blob.size).where(tables.Blob.sha256.in_(wanted))
    return {row.sha256: row.size for row in s.execute(query)}
