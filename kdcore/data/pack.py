"""Packed datasets: decoded once into files of bytes, which every later run maps at once.

A pack is a folder, CACHE/KEY. It is written under another name and renamed when it is whole. The
key is a hash of the source's content and of all that decides how it is decoded.
"""

# N samples, C channels, H height, W width

import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from kdcore.data.images import ImageData
from kdcore.data.packfile import MANIFEST, Damaged, finish_pack, map_pixels, open_pack
from kdcore.data.sink import LogFn, LoggingSink, Shape
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import RunCode

WRITING = ".writing-"
MAX_PACKED_BYTES = 512 * 2**30  # of a split's pixels
RESERVE_BYTES = 64 * 2**20  # left free on the disk
STALE_S = 24 * 3600.0  # an unfinished pack so old is nobody's
UNUSED_S = 30 * 24 * 3600.0  # a pack not opened for so long is removed


def load_packed(
    cache: Path, key: str, decode: "Callable[[Disk], ImageData]", log: LogFn
) -> ImageData:
    """The dataset of this key, mapped: out of the cache, or else decoded into it.

    Raises RunError `no_space` (exit NO_SPACE), and whatever `decode` raises.
    """
    entry = cache / key
    if entry.is_dir():
        try:
            return open_pack(entry, key)
        except (Damaged, OSError) as error:
            log(f"the packed dataset is damaged and made anew: {error}")
            _remove(entry)
    cache.mkdir(parents=True, exist_ok=True)
    _reaper(cache)
    writing = cache / f"{WRITING}{uuid.uuid4().hex}"
    writing.mkdir()
    try:
        data = decode(Disk(writing, log))
        finish_pack(writing, data, key)
        try:
            writing.rename(entry)
        except OSError:
            if not entry.is_dir():  # else another run was faster
                raise
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return open_pack(entry, key)


class Disk(LoggingSink):
    """Room in files of a folder, mapped. Raises RunError `no_space` where they do not fit."""

    limit = MAX_PACKED_BYTES
    needed = True

    def __init__(self, folder: Path, log: LogFn):
        super().__init__("packing", log)
        self._folder = folder

    def allocate(self, split: str, shape: Shape) -> Tensor:
        """As in Room."""
        count, channels, height, width = shape
        size_bytes = count * channels * height * width
        make_room(self._folder.parent, size_bytes)
        path = self._folder / f"{split}.pixels"
        with path.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)  # a full disk is an error here
        return map_pixels(path, shape, "r+")


def make_room(cache: Path, needed_bytes: int) -> None:
    """See that so much is free on the disk, removing the packs that were not used for longest.

    A run that has a removed one mapped goes on with it. Raises RunError `no_space`.
    """
    wanted = needed_bytes + RESERVE_BYTES
    packs = [p for p in cache.iterdir() if (p / MANIFEST).is_file() and p.name[0] != "."]
    for pack in sorted(packs, key=lambda p: (p / MANIFEST).stat().st_mtime):
        if shutil.disk_usage(cache).free >= wanted:
            return
        _remove(pack)
    free = shutil.disk_usage(cache).free
    if free < wanted:
        raise RunError(
            RunCode.NO_SPACE,
            f"the packed dataset takes {needed_bytes / 2**20:.0f} MiB on disk, where "
            f"{free / 2**20:.0f} MiB are free; make room, or use a smaller image_size",
            pointer="/dataset",
        )


def _remove(entry: Path) -> None:
    """Take it out of the way at once, so that nobody opens half of it."""
    gone = entry.with_name(f"{WRITING}{uuid.uuid4().hex}")
    try:
        entry.rename(gone)
    except OSError:
        return  # another run was faster
    shutil.rmtree(gone, ignore_errors=True)


def _reaper(cache: Path) -> None:
    """Remove what runs that were killed have left unfinished, and what nobody uses any more."""
    for path in cache.iterdir():
        unfinished = path.name.startswith(WRITING)
        try:
            age_s = time.time() - (path if unfinished else path / MANIFEST).stat().st_mtime
        except OSError:
            continue  # another run was faster, or it is none of ours
        if age_s > (STALE_S if unfinished else UNUSED_S):
            shutil.rmtree(path, ignore_errors=True)
