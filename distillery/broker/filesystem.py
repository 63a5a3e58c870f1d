"""The local transport: a queue is a directory, a message a file, and no server is needed.

kombu's own `filesystem` transport loses messages and tears reads under load. Here a message appears
whole (temporary file, then rename) and belongs to whoever's `unlink` succeeds: of several
consumers exactly one. A consumer killed between the unlink and its work loses the message, which
is acceptable, since messages are hints; no file is ever left half-claimed.
"""

import json
import logging
import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual

from distillery.broker.config import SCHEME

logger = logging.getLogger(__name__)
SUFFIX = ".json"
REJECTED = "rejected"  # inside a queue's directory
ABANDONED_S = 3600.0


class Channel(virtual.Channel):
    """A virtual channel over one directory per queue, oldest message first."""

    def _folder(self, queue: str) -> Path:
        if not queue or queue.startswith(".") or "/" in queue:
            raise ChannelError(f"{queue!r} cannot name a queue")
        # kombu hands on the URL's path without its leading slash.
        folder = Path("/", self.connection.client.virtual_host, queue)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def _waiting(self, queue: str) -> list[Path]:
        return sorted(self._folder(queue).glob(f"[!.]*{SUFFIX}"))

    def _new_queue(self, queue: str, **_: Any) -> None:
        for path in self._folder(queue).glob(".*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()  # its sender was killed before the rename

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex}"
        folder = self._folder(queue)
        temporary = folder / f".{name}"
        temporary.write_text(json.dumps(message), encoding="utf-8")
        temporary.rename(folder / f"{name}{SUFFIX}")

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        for path in self._waiting(queue):
            try:
                raw = path.read_bytes()
                message = self._parse(raw)
                path.unlink()
            except FileNotFoundError:
                continue  # another consumer was faster
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                self._set_aside(path, error)
                continue
            return message
        raise Empty

    def _parse(self, raw: bytes) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(raw)
        # Raises here on an envelope that the consumer would die of.
        self.Message(message, channel=self)  # type: ignore[no-untyped-call]
        return message

    def _set_aside(self, path: Path, error: Exception) -> None:
        logger.error("set aside a malformed message: %s (%r)", path, error)
        target = path.parent / REJECTED
        target.mkdir(exist_ok=True)
        try:
            path.rename(target / path.name)
        except FileNotFoundError:
            return  # another consumer did it

    def _purge(self, queue: str) -> int:
        removed = 0
        for path in self._waiting(queue):
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            removed += 1
        return removed

    def _size(self, queue: str) -> int:
        return len(self._waiting(queue))


class Transport(virtual.Transport):
    """The transport behind `kdfs:///directory` addresses."""

    Channel = Channel
    polling_interval = 0.1  # seconds; 0.25 % of a core at rest
    driver_type = "filesystem"
    driver_name = SCHEME
    connection_errors = (*virtual.Transport.connection_errors, OSError)  # type: ignore[assignment]

    def driver_version(self) -> str:
        """The version shown in Celery's start-up lines."""
        return "1"
