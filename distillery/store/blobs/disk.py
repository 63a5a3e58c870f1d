"""Local disks: durable renames and a clear word when one is full."""

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

_MOMENT_S = 2.0
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def failing_disk() -> Iterator[None]:
    """Turn what the operating system says of a write into NoSpace or StorageFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace("the disk is full") from error
        said = error.strerror or type(error).__name__
        raise StorageFailed(f"the disk does not take it: {said}") from error


def require_space(folder: Path, needed: int, reserve: int) -> None:
    """Raises NoSpace unless `needed` bytes fit and `reserve` bytes stay free after them."""
    free = shutil.disk_usage(folder).free
    if free - needed < reserve:
        raise NoSpace(
            f"{needed} bytes do not fit: {free} bytes are free and {reserve} are kept free"
        )


def hold(file: IO[Any]) -> None:
    """Say, for as long as it is open, that somebody is at work on a file."""
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_abandoned(paths: Iterable[Path]) -> None:
    """Remove files that nobody holds: whoever was writing them has died. Those of a moment ago
    stay, for they may be about to be held."""
    for path in paths:
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            if time.time() - path.stat().st_mtime > _MOMENT_S:
                hold(file)
                path.unlink()


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
