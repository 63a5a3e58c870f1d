"""A transport that needs no server: a queue is a directory and a message is a file.

kombu's own `filesystem` transport loses messages and reads incomplete ones under load. Here a
message is written to a temporary file and renamed, and belongs to the one consumer whose `unlink`
succeeds. A consumer killed between the unlink and its work loses the message, which is acceptable
because messages are hints.
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
    """A channel with one directory per queue, oldest message first."""

    def _folder(self, queue: str) -> Path:
        if not queue or queue.startswith(".") or "/" in queue:
            raise ChannelError(f"{queue!r} cannot name a queue")
        # kombu strips the leading slash from the URL's path.
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
                continue  # another consumer took it
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                self._reject(path, error)
                continue
            return message
        raise Empty

    def _parse(self, raw: bytes) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(raw)
        # Raises for an envelope that would crash the consumer.
        self.Message(message, channel=self)  # type: ignore[no-untyped-call]
        return message

    def _reject(self, path: Path, error: Exception) -> None:
        logger.error("moved a malformed message to %s/: %s (%r)", REJECTED, path, error)
        target = path.parent / REJECTED
        target.mkdir(exist_ok=True)
        try:
            path.rename(target / path.name)
        except FileNotFoundError:
            return  # another consumer moved it

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
    polling_interval = 0.1  # seconds; costs 0.25 % of a core when idle
    driver_type = "filesystem"
    driver_name = SCHEME
    connection_errors = (*virtual.Transport.connection_errors, OSError)  # type: ignore[assignment]

    def driver_version(self) -> str:
        """The version that Celery logs at start-up."""
        return "1"
