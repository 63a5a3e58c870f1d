"""Local disks: durable renames, locked temporary files, and clear errors when one is full."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from distillery.store.errors import NoSpace, StorageFailed

_YOUNG_S = 2.0
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Turn the operating system's errors into NoSpace or StorageFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace("the disk is full") from error
        reason = error.strerror or type(error).__name__
        raise StorageFailed(f"the disk failed: {reason}") from error


def require_space(folder: Path, needed: int, reserve: int) -> None:
    """Raise NoSpace unless `needed` bytes fit and leave `reserve` bytes free."""
    free = shutil.disk_usage(folder).free
    if free - needed < reserve:
        raise NoSpace(
            f"{needed} bytes do not fit: {free} bytes are free and {reserve} are kept free"
        )


def lock_file(file: IO[Any]) -> None:
    """Mark a file as being written, until it is closed."""
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_abandoned(paths: Iterable[Path]) -> None:
    """Remove files that are not locked, because their writers have died.

    A file made a moment ago stays: its writer may be about to lock it.
    """
    for path in paths:
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            if time.time() - path.stat().st_mtime > _YOUNG_S:
                lock_file(file)
                path.unlink()


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_durably(source: Path, target: Path) -> None:
    """Rename a file whose bytes are durable to `target`, in the same folder or on the same disk."""
    with translate_disk_errors():
        source.replace(target)
        sync_folder(target.parent)
