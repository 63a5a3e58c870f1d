"""Bytes named by their sha256: written once and never changed, on any kind of storage."""

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from sqlalchemy.orm import Session

from distillery.store.blobs.disk import (
    lock_file,
    remove_abandoned,
    require_space,
    sync_folder,
    translate_disk_errors,
)
from distillery.store.db.database import db_now
from distillery.store.db.tables import Blob
from distillery.store.db.upsert import upsert
from distillery.store.errors import NotFound
from distillery.wire.job_codes import JobCode
from kdcore.spec.failpoints import failpoint

CHUNK_BYTES = 2**20


class Stored(NamedTuple):
    """The name and the size in bytes of a stored blob."""

    sha256: str
    size: int


class Blobs(Protocol):
    """Storage for blobs. `put_stream` is durable when it returns, and may be repeated."""

    def put_stream(self, chunks: Iterable[bytes], *, expected: str | None = None) -> Stored:
        """Store a stream. Raises HashMismatch, storing nothing, if its hash is not `expected`."""
        ...

    def open(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return the bytes [start, end) in chunks. Raises NotFound immediately."""
        ...

    def path_of(self, sha256: str) -> Path | None:
        """Return the blob as a read-only local file, or None if it is not on a local disk."""
        ...

    def exists(self, sha256: str) -> bool:
        """Whether the blob is stored here."""
        ...

    def size(self, sha256: str) -> int:
        """Return the size in bytes. Raises NotFound."""
        ...

    def verify(self, sha256: str) -> bool:
        """Read the whole blob and compare its hash."""
        ...

    def touch(self, sha256: str) -> None:
        """Reset the blob's age, as if it were stored again. Raises NotFound."""
        ...

    def aged(self, age_s: float) -> Iterator[Stored]:
        """Yield blobs that were stored or touched longer ago than this."""
        ...

    def discard(self, sha256: str, age_s: float) -> bool:
        """Delete a blob unless it was stored or touched within `age_s`; return whether it was
        deleted. A blob that is stored concurrently stays."""
        ...

    def require_space(self, size: int) -> None:
        """Raise NoSpace unless this many bytes fit above the low-water mark."""
        ...

    def check(self) -> None:
        """Raise OSError or a StoreError unless a blob could be stored and read now."""
        ...

    def free_bytes(self) -> int | None:
        """Return the free space, or None if it is unlimited."""
        ...

    def remove_abandoned(self) -> None:
        """Remove unfinished blobs whose writers have died."""
        ...


class HashMismatch(ValueError):
    """The bytes do not have the announced hash."""

    def __init__(self, expected: str, found: str):
        super().__init__(f"sha256 is {found}, not {expected}")
        self.expected = expected
        self.found = found


class LocalBlobs:
    """Blobs on a local disk, ROOT/ab/cd/abcd..., written by temporary file, fsync and rename."""

    def __init__(self, root: Path, min_free_bytes: int = 0):
        self.root = root
        self._min_free_bytes = min_free_bytes
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def put_stream(self, chunks: Iterable[bytes], *, expected: str | None = None) -> Stored:
        """As in Blobs."""
        temporary = self._incoming / secrets.token_hex(16)
        digest = hashlib.sha256()
        try:
            with translate_disk_errors(), temporary.open("xb") as file:
                lock_file(file)
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                failpoint("blob.writing")
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o444)
                found = digest.hexdigest()
                if expected is not None and found != expected:
                    raise HashMismatch(expected, found)
                return self._publish(temporary, found)
        finally:
            temporary.unlink(missing_ok=True)

    def remove_abandoned(self) -> None:
        """As in Blobs."""
        remove_abandoned(self._incoming.iterdir())

    def _publish(self, path: Path, sha256: str) -> Stored:
        """Rename a file into place. Two writers of one blob write the same bytes: the last wins."""
        with translate_disk_errors():
            size = path.stat().st_size
            final = self._place(sha256)
            final.parent.mkdir(parents=True, exist_ok=True)
            failpoint("blob.renaming")
            with self._lock(fcntl.LOCK_SH):
                os.utime(path)  # the blob's age counts from here
                path.replace(final)
            failpoint("blob.renamed")
            for folder in (final.parent, final.parent.parent, self.root):
                sync_folder(folder)
        return Stored(sha256, size)

    def open(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """As in Blobs."""
        size = self.size(sha256)
        return _read(self._place(sha256), start, size if end is None else min(end, size))

    def path_of(self, sha256: str) -> Path | None:
        """As in Blobs."""
        path = self._place(sha256)
        return path if path.is_file() else None

    def exists(self, sha256: str) -> bool:
        """As in Blobs."""
        return self._place(sha256).is_file()

    def size(self, sha256: str) -> int:
        """As in Blobs."""
        try:
            return self._place(sha256).stat().st_size
        except FileNotFoundError:
            raise _missing(sha256) from None

    def verify(self, sha256: str) -> bool:
        """As in Blobs."""
        digest = hashlib.sha256()
        for chunk in self.open(sha256):
            digest.update(chunk)
        return digest.hexdigest() == sha256

    def touch(self, sha256: str) -> None:
        """As in Blobs."""
        with self._lock(fcntl.LOCK_SH):
            try:
                os.utime(self._place(sha256))
            except FileNotFoundError:
                raise _missing(sha256) from None

    def aged(self, age_s: float) -> Iterator[Stored]:
        """As in Blobs."""
        for path in self.root.glob("??/??/*"):
            with suppress(FileNotFoundError):
                if _age_s(path) > age_s:
                    yield Stored(path.name, path.stat().st_size)

    def discard(self, sha256: str, age_s: float) -> bool:
        """As in Blobs."""
        path = self._place(sha256)
        with self._lock(fcntl.LOCK_EX), suppress(FileNotFoundError):
            if _age_s(path) > age_s:
                path.unlink()
                return True
        return False

    @contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        """Shared by writers, for a moment each; exclusive for a deletion."""
        with (self.root / ".lock").open("a") as file:
            fcntl.flock(file, how)
            yield

    def require_space(self, size: int) -> None:
        """As in Blobs."""
        require_space(self.root, size, self._min_free_bytes)

    def check(self) -> None:
        """As in Blobs."""
        sample = self._incoming / f".check-{secrets.token_hex(8)}"
        try:
            sample.write_bytes(b"x")
            if sample.read_bytes() != b"x":
                raise OSError(f"{sample} does not hold what was written to it")
        finally:
            sample.unlink(missing_ok=True)

    def free_bytes(self) -> int | None:
        """As in Blobs."""
        return shutil.disk_usage(self.root).free

    def _place(self, sha256: str) -> Path:
        assert len(sha256) == 64 and sha256.isalnum(), sha256
        return self.root / sha256[:2] / sha256[2:4] / sha256


def _missing(sha256: str) -> NotFound:
    return NotFound(f"blob {sha256} is not in storage", code=JobCode.BLOB_MISSING)


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _read(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = end - start
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def make_blobs(url: str, min_free_bytes: int = 0) -> Blobs:
    """Open the storage at a URL: `file:///FOLDER` or a folder's path. Raises ValueError.

    `min_free_bytes`: the low-water mark of `require_space`, which bounds uploads; the results of
    jobs may use the rest.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or parts.netloc:
        raise ValueError(f"unsupported blob storage {url!r}: use file:///FOLDER")
    return LocalBlobs(Path(unquote(parts.path)), min_free_bytes)


def record(session: Session, blob: Stored) -> None:
    """Insert a stored blob's row, so that other rows can refer to it.

    If the row exists, lock it and reset its timestamp, so that a concurrent collector either ran
    first (the row is re-created) or skips it.
    """
    row = {"sha256": blob.sha256, "size": blob.size, "created_at": db_now(session)}
    upsert(session, Blob, [row], "created_at")
