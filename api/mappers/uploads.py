"""Maps rows of uploads to views."""

from collections.abc import Sequence

from distillery.api.mappers.common import time_of
from distillery.store.db import tables
from distillery.wire.uploads import Upload, UploadPart


def upload_view(row: tables.Upload, parts: Sequence[tables.UploadPart]) -> Upload:
    """Return the view of an upload with its received parts."""
    return Upload.model_validate(
        {
            "id": row.id,
            "state": row.state,
            "filename": row.filename,
            "size": row.size,
            "part_size": row.part_size,
            "parts": [part_view(part) for part in parts],
            "sha256": row.blob,
            "created_at": time_of(row.created_at),
            "expires_at": time_of(row.expires_at),
        }
    )


def part_view(row: tables.UploadPart) -> UploadPart:
    """Return the view of a part."""
    return UploadPart(number=row.number, size=row.size, sha256=row.sha256)
