"""The log of a run, to which the run itself writes: read without trust, its middle cut out when it
has grown too long."""

import os
import stat
from pathlib import Path

from kdcore.spec.run import LOG_FILE

HEAD_PART = 4  # a quarter of the bound for how it began, another for how it goes on
TAIL_BYTES = 8192


class LogFile:
    """A run's log; `bytes_said` counts what was cut out too."""

    def __init__(self, directory: Path, keep_bytes: int):
        self._path = directory / LOG_FILE
        self._keep_bytes = keep_bytes
        self._cut = 0
        self.bytes_said = 0

    def bound(self) -> None:
        """Cut the middle out if it is longer than what is kept.

        The run goes on writing at its end meanwhile (it was opened for appending): of what it
        writes in that moment some may be lost.
        """
        handle = _open(self._path, os.O_RDWR)
        if handle is None:
            return
        with os.fdopen(handle, "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size > self._keep_bytes:
                self._cut_middle(file.fileno(), size)
                size = os.fstat(file.fileno()).st_size
        self.bytes_said = self._cut + size

    def _cut_middle(self, handle: int, size: int) -> None:
        part = self._keep_bytes // HEAD_PART
        tail = os.pread(handle, part, size - part)
        self._cut += size - 2 * part
        os.ftruncate(handle, part)
        mark = f"\n[... {self._cut} bytes were left out here ...]\n".encode()
        os.pwrite(handle, mark + tail, part)


def log_tail(directory: Path, lines: int = 12) -> str:
    """The last lines that a run wrote, printable characters only; empty when there are none."""
    handle = _open(directory / LOG_FILE, os.O_RDONLY)
    if handle is None:
        return ""
    with os.fdopen(handle, "rb") as log:
        log.seek(max(0, os.fstat(handle).st_size - TAIL_BYTES))
        text = log.read(TAIL_BYTES).decode(errors="replace")
    clean = "".join(c for c in text if c == "\n" or c.isprintable())
    return "\n".join(clean.strip().splitlines()[-lines:])


def _open(path: Path, how: int) -> int | None:
    """A regular file, no link: the run may have put anything in its log's place."""
    try:
        handle = os.open(path, how | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None
