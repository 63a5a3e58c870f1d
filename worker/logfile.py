"""Reads and shortens the log of a run. The run writes to it, so the file is not trusted."""

import os
import stat
from pathlib import Path

from kdcore.spec.run import LOG_FILE
from kdcore.spec.tail import last_lines

KEPT_PARTS = 4  # of a long log, the first and the last quarter of the limit are kept


class LogFile:
    """A run's log. `written_bytes` counts what was cut out, too."""

    def __init__(self, directory: Path, limit_bytes: int):
        self._path = directory / LOG_FILE
        self._limit_bytes = limit_bytes
        self._cut_bytes = 0
        self.written_bytes = 0

    def shorten(self) -> None:
        """Cut out the middle of a log that exceeds the limit.

        The run has the file open for appending; output that it writes at this very moment may be
        lost.
        """
        handle = _open(self._path, os.O_RDWR)
        if handle is None:
            return
        with os.fdopen(handle, "r+b") as file:
            size = os.fstat(file.fileno()).st_size
            if size > self._limit_bytes:
                self._cut_middle(file.fileno(), size)
                size = os.fstat(file.fileno()).st_size
        self.written_bytes = self._cut_bytes + size

    def _cut_middle(self, handle: int, size: int) -> None:
        part = self._limit_bytes // KEPT_PARTS
        tail = os.pread(handle, part, size - part)
        self._cut_bytes += size - 2 * part
        os.ftruncate(handle, part)
        mark = f"\n[... {self._cut_bytes} bytes were left out here ...]\n".encode()
        os.pwrite(handle, mark + tail, part)


def log_tail(directory: Path, lines: int = 12) -> str:
    """The last lines of a run's log, printable characters only; empty if there is no log."""
    handle = _open(directory / LOG_FILE, os.O_RDONLY)
    if handle is None:
        return ""
    with os.fdopen(handle, "rb") as log:
        tail = last_lines(log, lines)
    return "\n".join("".join(filter(str.isprintable, line)) for line in tail)


def _open(path: Path, flags: int) -> int | None:
    """Open a regular file, but no link: the run may have put anything in its log's place."""
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None
