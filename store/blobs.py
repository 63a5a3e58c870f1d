"""Bytes by their sha256: written once, never changed, wherever they are kept."""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from sqlalchemy.orm import Session

from kdcore.spec.failpoints import failpoint
from store.db import db_now
from store.disk import failing_disk, hold, remove_abandoned, sync_folder
from store.errors import NotFound
from store.tables import Blob
from store.upsert import insert_missing

CHUNK_BYTES = 2**20


class Stored(NamedTuple):
    """What was put: its name and its size in bytes."""

    sha256: str
    size: int


class Blobs(Protocol):
    """A place for blobs. `put_*` are durable when they return, and may be repeated."""

    def put_file(self, path: Path, *, move: bool = False) -> Stored:
        """Keep a file's bytes; with `move` the file is gone afterwards."""
        ...

    def put_stream(self, chunks: Iterable[bytes], *, expected: str | None = None) -> Stored:
        """Keep a stream. Raises HashMismatch, keeping nothing, if its sha256 is not `expected`."""
        ...

    def open(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes [start, end) in chunks. Raises NotFound at once."""
        ...

    def path_of(self, sha256: str) -> Path | None:
        """The blob as a read-only local file, or None where it is not on a local disk."""
        ...

    def exists(self, sha256: str) -> bool:
        """Whether the blob is kept here."""
        ...

    def size(self, sha256: str) -> int:
        """Bytes. Raises NotFound."""
        ...

    def verify(self, sha256: str) -> bool:
        """Read the whole blob and say whether its bytes still have this hash."""
        ...

    def delete(self, sha256: str) -> None:
        """Forget the blob; nothing happens where there is none."""
        ...

    def remove_abandoned(self) -> None:
        """Remove what somebody was putting here who has died."""
        ...


class HashMismatch(ValueError):
    """The bytes are not the ones that were announced."""

    def __init__(self, expected: str, found: str):
        super().__init__(f"sha256 is {found}, not {expected}")
        self.expected = expected
        self.found = found


class LocalBlobs:
    """Blobs on a local disk: ROOT/ab/cd/abcd..., by temporary file, fsync and rename."""

    def __init__(self, root: Path):
        self.root = root
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def put_file(self, path: Path, *, move: bool = False) -> Stored:
        """As in Blobs. A moved file is renamed where it lies on the same disk."""
        if not move or path.stat().st_dev != self.root.stat().st_dev:
            stored = self.put_stream(_read(path))
            if move:
                path.unlink()
            return stored
        digest = hashlib.sha256()
        with failing_disk(), path.open("rb") as file:
            for chunk in iter(lambda: file.read(CHUNK_BYTES), b""):
                digest.update(chunk)
            os.fsync(file.fileno())
        path.chmod(0o444)
        return self._publish(path, digest.hexdigest())

    def put_stream(self, chunks: Iterable[bytes], *, expected: str | None = None) -> Stored:
        """As in Blobs."""
        temporary = self._incoming / secrets.token_hex(16)
        digest = hashlib.sha256()
        try:
            with failing_disk(), temporary.open("xb") as file:
                hold(file)
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
        """Rename into place. Two writers of one content write the same bytes: the last wins."""
        with failing_disk():
            size = path.stat().st_size
            final = self._place(sha256)
            final.parent.mkdir(parents=True, exist_ok=True)
            failpoint("blob.renaming")
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
            raise NotFound(f"blob {sha256} is not in storage", code="blob_missing") from None

    def verify(self, sha256: str) -> bool:
        """As in Blobs."""
        digest = hashlib.sha256()
        for chunk in self.open(sha256):
            digest.update(chunk)
        return digest.hexdigest() == sha256

    def delete(self, sha256: str) -> None:
        """As in Blobs."""
        self._place(sha256).unlink(missing_ok=True)

    def _place(self, sha256: str) -> Path:
        assert len(sha256) == 64 and sha256.isalnum(), sha256
        return self.root / sha256[:2] / sha256[2:4] / sha256


def _read(path: Path, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = path.stat().st_size - start if end is None else end - start
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def make_blobs(url: str) -> Blobs:
    """The storage that a URL names: `file:///FOLDER` or a folder's path. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or parts.netloc:
        raise ValueError(f"unsupported blob storage {url!r}: give file:///FOLDER")
    return LocalBlobs(Path(unquote(parts.path)))


def record(session: Session, blob: Stored) -> None:
    """Note a stored blob in the database, so that other rows may point at it."""
    row = {"sha256": blob.sha256, "size": blob.size, "created_at": db_now(session)}
    insert_missing(session, Blob, [row])
