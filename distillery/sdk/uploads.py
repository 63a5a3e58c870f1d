"""Uploads a file in parts: hashed first, two parts at a time, resumed where it broke off."""

import hashlib
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from distillery.sdk.errors import Corrupt, UsageMistake
from distillery.sdk.progress import OnProgress, Progress
from distillery.sdk.transport import Transport
from distillery.wire.uploads import Upload, UploadComplete, UploadCreate, UploadPart

CHUNK = 1 << 18  # bytes
PARALLEL = 2


class Uploads:
    """The uploads of a service; `push` of models and datasets uses them."""

    def __init__(self, transport: Transport, progress: Progress):
        self._transport = transport
        self._progress = progress

    def get(self, upload_id: str) -> Upload:
        """Fetch one upload with the parts that have arrived."""
        return self._transport.get(f"/uploads/{upload_id}", Upload)

    def send(self, path: Path, on_progress: OnProgress | None = None) -> Upload:
        """Upload a file and return its complete upload.

        Bytes that the service already has are not sent again: neither a file it knows by its
        sha256, nor the parts of an earlier try at this file. `on_progress(done, total)` is called
        in bytes, from several threads but by one at a time. Raises UsageMistake for an empty file,
        Corrupt when the bytes that arrived are not the file's.
        """
        if on_progress is None:
            with self._progress.transfer(f"Uploading {path.name}") as report:
                return self.send(path, report)
        size = path.stat().st_size
        if size == 0:
            raise UsageMistake(f"{path} is empty.")
        sha256 = hash_file(path)
        upload = self._open(path, size, sha256)
        meter = _Meter(size, on_progress)
        missing = _missing_parts(upload)
        meter.start(size - sum(_part_size(upload, n) for n in missing))
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="upload") as pool:
            futures = [pool.submit(self._send_part, upload, path, n, meter) for n in missing]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if upload.state == "complete":
            return upload
        return self._transport.post(
            f"/uploads/{upload.id}/complete", Upload, UploadComplete(sha256=sha256)
        )

    def _open(self, path: Path, size: int, sha256: str) -> Upload:
        body = UploadCreate(size=size, sha256=sha256, filename=path.name[-200:])
        # The key depends on the file alone, so that a second try finds the first one's parts.
        key = hashlib.sha256(f"{sha256} {size} {body.filename}".encode()).hexdigest()
        upload = self._transport.post("/uploads", Upload, body, idempotency_key=key)
        upload = self.get(upload.id)
        if upload.state in ("open", "complete"):
            return upload
        return self._transport.post("/uploads", Upload, body, idempotency_key=uuid.uuid4().hex)

    def _send_part(self, upload: Upload, path: Path, number: int, meter: "_Meter") -> None:
        with path.open("rb") as file:
            file.seek((number - 1) * upload.part_size)
            data = file.read(_part_size(upload, number))

        def content() -> Iterator[bytes]:
            meter.rewind(number)
            for start in range(0, len(data), CHUNK):
                chunk = data[start : start + CHUNK]
                yield chunk
                meter.add(number, len(chunk))

        answer = self._transport.request(
            "PUT",
            f"/uploads/{upload.id}/parts/{number}",
            content=content,
            headers={"Content-Length": str(len(data)), "Content-Type": "application/octet-stream"},
        )
        part = self._transport.read(answer, UploadPart)
        if part.sha256 != hashlib.sha256(data).hexdigest():
            raise Corrupt(f"Part {number} of {path} was damaged on its way.", hint="Try again.")


def hash_file(path: Path) -> str:
    """Return the file's sha256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _part_size(upload: Upload, number: int) -> int:
    return min(upload.part_size, upload.size - (number - 1) * upload.part_size)


def _missing_parts(upload: Upload) -> list[int]:
    if upload.state == "complete":
        return []
    count = -(-upload.size // upload.part_size)
    return sorted(set(range(1, count + 1)) - {part.number for part in upload.parts})


class _Meter:
    """Adds up the bytes that several parts have sent; a part sent again counts once."""

    def __init__(self, total: int, on_progress: OnProgress):
        self._total = total
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._before = 0
        self._sent: dict[int, int] = {}

    def start(self, before: int) -> None:
        self._before = before
        self._report()

    def rewind(self, number: int) -> None:
        with self._lock:
            self._sent[number] = 0

    def add(self, number: int, count: int) -> None:
        with self._lock:
            self._sent[number] += count
            self._report()

    def _report(self) -> None:
        self._on_progress(self._before + sum(self._sent.values()), self._total)
