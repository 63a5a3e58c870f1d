"""Uploads: files sent in parts, in any order, resumable; complete once their hash matches."""

import hashlib
from collections import deque
from collections.abc import Iterator

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from distillery.store.blobs import blobs as blob_rows
from distillery.store.blobs.blobs import Blobs, HashMismatch, Stored
from distillery.store.blobs.upload_parts import IncomingPart, PartSlot, UploadParts
from distillery.store.db.database import Database, db_now
from distillery.store.db.ids import new_id
from distillery.store.db.owned import get_owned
from distillery.store.db.tables import Upload, UploadPart
from distillery.store.db.upsert import upsert
from distillery.store.errors import Conflict, Invalid, NotFound
from distillery.wire.request_codes import RequestCode
from kdcore.spec.failpoints import failpoint

PART_BYTES = 8 * 2**20
MAX_PARTS = 10_000
MAX_BYTES = 2**40
LIFETIME_S = 7 * 24 * 3600


def create(
    s: Session,
    parts: UploadParts,
    tenant: str,
    *,
    size: int,
    sha256: str | None,
    filename: str | None,
) -> Upload:
    """Announce a file. The upload is complete already if the tenant has uploaded these bytes.

    Raises NoSpace, or Invalid `too_large`.
    """
    if size > MAX_BYTES:
        raise Invalid(f"at most {MAX_BYTES} bytes", code=RequestCode.TOO_LARGE, pointer="/size")
    known = sha256 is not None and _has_uploaded(s, tenant, sha256, size)
    if not known:
        parts.require_space(size)
    now = db_now(s)
    upload = Upload(
        id=new_id("upl"),
        tenant=tenant,
        state="complete" if known else "open",
        filename=filename,
        size=size,
        part_size=_part_size(size),
        expected_sha256=sha256,
        blob=sha256 if known else None,
        created_at=now,
        expires_at=now + LIFETIME_S * 1000,
    )
    s.add(upload)
    s.flush()
    return upload


def _part_size(size: int) -> int:
    """Return PART_BYTES, or more MiB if the file would have more than MAX_PARTS parts."""
    least = -(-size // MAX_PARTS)
    return max(PART_BYTES, -(-least // 2**20) * 2**20)


def _has_uploaded(s: Session, tenant: str, sha256: str, size: int) -> bool:
    query = select(Upload.id).where(
        Upload.tenant == tenant,
        Upload.blob == sha256,
        Upload.state == "complete",
        Upload.size == size,
    )
    # Locked, so that the blob is not collected before our upload refers to it.
    return s.scalar(query.limit(1).with_for_update(read=True)) is not None


def get(s: Session, tenant: str, upload_id: str) -> Upload:
    """Return an upload of this tenant. Raises NotFound."""
    return get_owned(s, Upload, tenant, upload_id)


def parts_of(s: Session, upload_id: str) -> list[UploadPart]:
    """Return the parts received so far, by number."""
    query = select(UploadPart).where(UploadPart.upload_id == upload_id)
    return list(s.scalars(query.order_by(UploadPart.number)))


def slot(s: Session, tenant: str, upload_id: str, number: int) -> PartSlot:
    """Return the slot of part `number` (from 1). Raises Conflict, Invalid or NotFound."""
    upload = _open(get(s, tenant, upload_id))
    count = part_count(upload)
    if not 1 <= number <= count:
        raise Invalid(f"parts are numbered from 1 to {count}", code=RequestCode.PART_NUMBER)
    rest = upload.size - (number - 1) * upload.part_size
    return PartSlot(upload_id, number, min(upload.part_size, rest))


def part_count(upload: Upload) -> int:
    """Return the number of parts of the file."""
    return -(-upload.size // upload.part_size)


def save_part(s: Session, parts: UploadParts, tenant: str, part: IncomingPart) -> UploadPart:
    """Save a part that was received; an earlier one of the same number is replaced.

    Raises Invalid `part_size` if bytes are missing, Conflict if the upload is closed.
    """
    part.finish()
    upload = _locked(s, tenant, part.slot.upload_id)
    upload.version += 1
    row = {
        "upload_id": upload.id,
        "number": part.slot.number,
        "size": part.slot.size,
        "sha256": part.sha256,
    }
    upsert(s, UploadPart, [row], "size", "sha256")
    parts.publish(part)
    failpoint("part.keeping")
    return UploadPart(**row)


def complete(
    database: Database,
    parts: UploadParts,
    blobs: Blobs,
    tenant: str,
    upload_id: str,
    sha256: str | None = None,
) -> Upload:
    """Join the parts into a blob and close the upload; a complete upload is left as it is.

    Takes the database, not a session: reading a large file must not hold a transaction open.
    Raises Conflict `parts_missing` or `part_damaged`, or Invalid `hash_mismatch`; then no blob is
    left behind and the upload stays open, so that parts can be sent again.
    """
    with database.read() as s:
        upload = get(s, tenant, upload_id)
        if upload.state == "complete":
            parts.drop(upload_id)  # a process may have died between completing it and this
            return _already(upload, sha256)
        _open(upload)
        arrived = parts_of(s, upload_id)
    missing = sorted(set(range(1, part_count(upload) + 1)) - {part.number for part in arrived})
    if missing:
        some = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise Conflict(f"parts {some} are missing: send them", code=RequestCode.PARTS_MISSING)
    stored = _join(parts, blobs, upload, arrived, sha256)
    with database.write() as s:
        fresh = get(s, tenant, upload_id)
        if fresh.state == "complete":
            return _already(fresh, sha256)
        _close(s, upload, stored)
        upload = get(s, tenant, upload_id)
    parts.drop(upload_id)
    return upload


def _already(upload: Upload, sha256: str | None) -> Upload:
    if sha256 is not None and sha256 != upload.blob:
        raise _mismatch(sha256, str(upload.blob))
    return upload


def _join(
    parts: UploadParts, blobs: Blobs, upload: Upload, arrived: list[UploadPart], sha256: str | None
) -> Stored:
    wanted = {hash_ for hash_ in (upload.expected_sha256, sha256) if hash_ is not None}
    if len(wanted) > 1:
        raise Invalid(
            "this sha256 is not the one that the upload was created with",
            code=RequestCode.HASH_MISMATCH,
            pointer="/sha256",
        )
    blobs.require_space(upload.size)
    expected = wanted.pop() if wanted else None
    read = _verified if expected is None else _read
    chunks = (chunk for part in arrived for chunk in read(parts, part))
    try:
        return blobs.put_stream(chunks, expected=expected)
    except HashMismatch as error:
        for part in arrived:
            deque(_verified(parts, part), maxlen=0)
        raise _mismatch(error.expected, error.found) from error


def _read(parts: UploadParts, part: UploadPart) -> Iterator[bytes]:
    """Yield a part's bytes. Raises Conflict `part_damaged` if they are gone."""
    try:
        yield from parts.read(part.upload_id, part.number)
    except FileNotFoundError:
        raise _damaged(part) from None


def _verified(parts: UploadParts, part: UploadPart) -> Iterator[bytes]:
    """Yield a part's bytes. Raises Conflict `part_damaged` unless they are those received."""
    digest = hashlib.sha256()
    for chunk in _read(parts, part):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != part.sha256:
        raise _damaged(part)


def _damaged(part: UploadPart) -> Conflict:
    return Conflict(f"part {part.number} is damaged: send it again", code=RequestCode.PART_DAMAGED)


def _mismatch(expected: str, found: str) -> Invalid:
    return Invalid(
        f"the bytes received have sha256 {found}, not {expected}; the upload is still open: send "
        "the wrong parts again, then complete it",
        code=RequestCode.HASH_MISMATCH,
        pointer="/sha256",
    )


def _close(s: Session, upload: Upload, stored: Stored) -> None:
    blob_rows.record(s, stored)
    closed = s.scalar(
        update(Upload)
        .where(Upload.id == upload.id, Upload.state == "open", Upload.version == upload.version)
        .values(state="complete", blob=stored.sha256, version=Upload.version + 1)
        .returning(Upload.id)
    )
    if closed is None:
        raise Conflict("parts changed while they were joined: complete the upload again")
    s.expire_all()


def abort(s: Session, parts: UploadParts, tenant: str, upload_id: str) -> Upload:
    """Abort an open upload and remove its parts; an aborted one is left as it is. Raises
    Conflict."""
    upload = get(s, tenant, upload_id)
    if upload.state != "aborted":
        upload = _locked(s, tenant, upload_id)
        upload.state = "aborted"
        upload.version += 1
        s.flush()
    parts.drop(upload_id)
    return upload


def _locked(s: Session, tenant: str, upload_id: str) -> Upload:
    query = select(Upload).where(Upload.id == upload_id, Upload.tenant == tenant)
    upload = s.scalar(query.with_for_update().execution_options(populate_existing=True))
    if upload is None:
        raise NotFound(f"no upload {upload_id}")
    return _open(upload)


def _open(upload: Upload) -> Upload:
    if upload.state != "open":
        raise Conflict(f"the upload is {upload.state}", code=RequestCode.UPLOAD_CLOSED)
    return upload
