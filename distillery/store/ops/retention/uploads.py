"""Deletes uploads that were not completed in time, closed ones, and parts left by a crash."""

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import ColumnElement, delete, func, or_, select, true
from sqlalchemy.orm import Session

from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.catalog.uploads import LIFETIME_S
from distillery.store.db.database import db_now
from distillery.store.db.tables import Upload, UploadPart
from distillery.store.ops.retention.usage import Usage, cutoff_ms, size_of, usage

ROWS = 200
ORPHAN_AGE_S = 3600  # parts are removed when their upload is closed, unless a crash intervenes


def count(s: Session, parts: UploadParts, tenant: str | None, keep_s: float) -> Usage:
    """Return what would be deleted; the bytes are those of parts, for the rest are blobs."""
    which = (or_(_late(s), _closed(s, keep_s)), _of(tenant))
    open_ids = select(Upload.id).where(_late(s), _of(tenant))
    size = select(func.coalesce(func.sum(UploadPart.size), 0))
    size = size.where(UploadPart.upload_id.in_(open_ids))
    number = s.scalar(select(func.count()).select_from(Upload).where(*which)) or 0
    total = Usage("uploads", number, int(s.scalar(size) or 0))
    if tenant is not None:
        return total
    return total + usage("uploads", (size_of(folder) for folder in _orphans(s, parts)))


def collect(
    s: Session, parts: UploadParts, tenant: str | None, keep_s: float
) -> tuple[Usage, bool]:
    """Expire some late uploads and delete some closed rows; return whether there may be more."""
    late = select(Upload).where(_late(s), _of(tenant)).limit(ROWS)
    sizes = []
    for upload in s.scalars(late.with_for_update(skip_locked=True)).all():
        upload.state, upload.version = "expired", upload.version + 1
        sizes.append(size_of(parts.root / upload.id))
        parts.drop(upload.id)
    s.flush()
    old = select(Upload.id).where(_closed(s, keep_s), _of(tenant)).limit(ROWS)
    ids = s.scalars(old.with_for_update(skip_locked=True)).all()
    s.execute(delete(UploadPart).where(UploadPart.upload_id.in_(ids)))
    s.execute(delete(Upload).where(Upload.id.in_(ids)))
    return usage("uploads", sizes + [0] * len(ids)), max(len(sizes), len(ids)) == ROWS


def collect_orphans(s: Session, parts: UploadParts) -> Usage:
    """Remove folders of parts whose upload is closed or gone."""
    sizes = []
    for folder in _orphans(s, parts):
        sizes.append(size_of(folder))
        parts.drop(folder.name)
    return usage("uploads", sizes)


def _late(s: Session) -> ColumnElement[bool]:
    return (Upload.state == "open") & (Upload.expires_at < db_now(s))


def _closed(s: Session, keep_s: float) -> ColumnElement[bool]:
    before = Upload.expires_at < cutoff_ms(s, keep_s - LIFETIME_S)
    return Upload.state.in_(("complete", "aborted", "expired")) & before


def _of(tenant: str | None) -> ColumnElement[bool]:
    return true() if tenant is None else Upload.tenant == tenant


def _orphans(s: Session, parts: UploadParts) -> Iterator[Path]:
    for folder in sorted(parts.root.iterdir()) if parts.root.is_dir() else ():
        upload = s.get(Upload, folder.name)
        is_over = upload is None or upload.state != "open"
        if is_over and time.time() - folder.stat().st_mtime > ORPHAN_AGE_S:
            yield folder
