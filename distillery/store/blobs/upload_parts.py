"""The parts of open uploads on local disk: FOLDER/<upload>/<number>.part, streamed, renamed."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distillery.store.blobs.disk import (
    failing_disk,
    hold,
    remove_abandoned,
    require_space,
    sync_folder,
)
from distillery.store.errors import Invalid
from distillery.wire.request_codes import RequestCode

CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class PartSlot:
    """Where one part belongs, and how many bytes it must have."""

    upload_id: str
    number: int
    size: int


class IncomingPart:
    """A part being received, made by `UploadParts.receive`; `write` is thread-safe."""

    def __init__(self, slot: PartSlot, path: Path):
        self.slot = slot
        self.path = path
        self.received = 0
        self._digest = hashlib.sha256()
        with failing_disk():
            path.parent.mkdir(exist_ok=True)
            # Unbuffered: what a full disk did not take must not come back when this is closed.
            self._file = path.open("xb", buffering=0)
            hold(self._file)

    @property
    def sha256(self) -> str:
        """Of the bytes received so far."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Take some bytes. Raises Invalid `part_size` once there are too many, or NoSpace."""
        self.received += len(chunk)
        if self.received > self.slot.size:
            raise self._wrong_size(f"more than {self.slot.size}")
        self._digest.update(chunk)
        with failing_disk():
            rest = memoryview(chunk)
            while rest:
                rest = rest[self._file.write(rest) :]

    def finish(self) -> None:
        """Make the bytes durable. Raises Invalid `part_size` where some are missing."""
        if self.received != self.slot.size:
            raise self._wrong_size(str(self.received))
        with failing_disk():
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Drop what was not taken over."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _wrong_size(self, found: str) -> Invalid:
        return Invalid(
            f"part {self.slot.number} has {found} bytes; it must have {self.slot.size}",
            code=RequestCode.PART_SIZE,
        )


@dataclass(frozen=True)
class UploadParts:
    """A folder of parts. Below `min_free_bytes` of free disk nothing more is taken (NoSpace)."""

    root: Path
    min_free_bytes: int = 0

    def require_space(self, size: int) -> None:
        """Raises NoSpace unless `size` bytes fit above the low-water mark."""
        with failing_disk():
            self.root.mkdir(parents=True, exist_ok=True)
        require_space(self.root, size, self.min_free_bytes)

    @contextmanager
    def receive(self, slot: PartSlot) -> Iterator[IncomingPart]:
        """A part to write the bytes into, then to give to `uploads.save_part`.

        What was not saved by the end of the block is gone.
        """
        self.require_space(slot.size)
        name = f"{slot.number}.{secrets.token_hex(8)}.incoming"
        part = IncomingPart(slot, self.root / slot.upload_id / name)
        try:
            yield part
        finally:
            part.close()

    def keep(self, part: IncomingPart) -> None:
        """Put a finished part in its place, instead of an older one of the same number."""
        place = self._place(part.slot.upload_id, part.slot.number)
        with failing_disk():
            part.path.replace(place)
            sync_folder(place.parent)

    def read(self, upload_id: str, number: int) -> Iterator[bytes]:
        """The bytes of a part in chunks. Raises FileNotFoundError."""
        with self._place(upload_id, number).open("rb") as file:
            yield from iter(lambda: file.read(CHUNK_BYTES), b"")

    def drop(self, upload_id: str) -> None:
        """Remove all parts of an upload; nothing happens where there are none."""
        shutil.rmtree(self.root / upload_id, ignore_errors=True)

    def remove_abandoned(self) -> None:
        """Remove parts that somebody was receiving who has died."""
        remove_abandoned(self.root.glob("*/*.incoming"))

    def _place(self, upload_id: str, number: int) -> Path:
        return self.root / upload_id / f"{number}.part"
