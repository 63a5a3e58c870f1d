"""Local disks: durable renames and a clear word when one is full."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import NoSpace, StorageFailed

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


def sync_folder(folder: Path) -> None:
    """Make renames within a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
