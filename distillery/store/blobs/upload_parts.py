"""Parts of open uploads on local disk, FOLDER/<upload>/<number>.part: streamed, then renamed."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distillery.store.blobs.disk import (
    lock_file,
    remove_abandoned,
    replace_durably,
    require_space,
    translate_disk_errors,
)
from distillery.store.errors import Invalid
from distillery.wire.request_codes import RequestCode

CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class PartSlot:
    """Where one part belongs, and its exact size in bytes."""

    upload_id: str
    number: int
    size: int


class IncomingPart:
    """A part that is being received, made by `UploadParts.receive`; `write` is thread-safe."""

    def __init__(self, slot: PartSlot, path: Path):
        self.slot = slot
        self.path = path
        self.received = 0
        self._digest = hashlib.sha256()
        with translate_disk_errors():
            path.parent.mkdir(exist_ok=True)
            # Unbuffered: closing must not retry what a full disk refused.
            self._file = path.open("xb", buffering=0)
            lock_file(self._file)

    @property
    def sha256(self) -> str:
        """Return the hash of the bytes received so far."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises Invalid `part_size` once there are too many, or NoSpace."""
        self.received += len(chunk)
        if self.received > self.slot.size:
            raise self._wrong_size(f"more than {self.slot.size}")
        self._digest.update(chunk)
        with translate_disk_errors():
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]

    def finish(self) -> None:
        """Make the bytes durable. Raises Invalid `part_size` if some are missing."""
        if self.received != self.slot.size:
            raise self._wrong_size(str(self.received))
        with translate_disk_errors():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Remove the part unless it was published."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _wrong_size(self, received: str) -> Invalid:
        return Invalid(
            f"part {self.slot.number} has {received} bytes; it must have {self.slot.size}",
            code=RequestCode.PART_SIZE,
        )


@dataclass(frozen=True)
class UploadParts:
    """A folder of parts; refuses more (NoSpace) when less than `min_free_bytes` would stay free."""

    root: Path
    min_free_bytes: int = 0

    def require_space(self, size: int) -> None:
        """Raise NoSpace unless `size` bytes fit and leave `min_free_bytes` free."""
        with translate_disk_errors():
            self.root.mkdir(parents=True, exist_ok=True)
        require_space(self.root, size, self.min_free_bytes)

    @contextmanager
    def receive(self, slot: PartSlot) -> Iterator[IncomingPart]:
        """Make a part to write bytes into and then pass to `uploads.save_part`.

        A part that was not saved by the end of the block is removed.
        """
        self.require_space(slot.size)
        name = f"{slot.number}.{secrets.token_hex(8)}.incoming"
        part = IncomingPart(slot, self.root / slot.upload_id / name)
        try:
            yield part
        finally:
            part.close()

    def publish(self, part: IncomingPart) -> None:
        """Put a finished part in its place; an older one of the same number is replaced."""
        replace_durably(part.path, self._place(part.slot.upload_id, part.slot.number))

    def read(self, upload_id: str, number: int) -> Iterator[bytes]:
        """Yield the bytes of a part in chunks. Raises FileNotFoundError."""
        with self._place(upload_id, number).open("rb") as file:
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")

    def drop(self, upload_id: str) -> None:
        """Remove all parts of an upload, if there are any."""
        shutil.rmtree(self.root / upload_id, ignore_errors=True)

    def remove_abandoned(self) -> None:
        """Remove parts whose receivers have died."""
        remove_abandoned(self.root.glob("*/*.incoming"))

    def _place(self, upload_id: str, number: int) -> Path:
        return self.root / upload_id / f"{number}.part"
