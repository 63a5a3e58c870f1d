"""Packs datasets: decodes them once into files of bytes, which later runs just map.

A pack is a folder, CACHE/KEY. It is written under a temporary name and renamed when it is complete.
The key is a hash of the source's content and of everything that decides how it is decoded.
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
from kdcore.data.packfile import MANIFEST, DamagedPack, finish_pack, map_pixels, open_pack
from kdcore.data.sink import LogFn, LoggingSink, Shape
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import RunCode

WRITING = ".writing-"
MAX_PACKED_BYTES = 512 * 2**30  # of a split's pixels
RESERVE_BYTES = 64 * 2**20  # left free on the disk
STALE_S = 24 * 3600.0  # age at which an unfinished pack is abandoned
UNUSED_S = 30 * 24 * 3600.0  # time after its last use at which a pack is removed


def load_packed(
    cache: Path, key: str, decode: "Callable[[DiskSink], ImageData]", log: LogFn
) -> ImageData:
    """Map the dataset of this key from the cache; if it is missing, decode it into the cache first.

    Raises RunError `no_space` (exit NO_SPACE), and whatever `decode` raises.
    """
    entry = cache / key
    if entry.is_dir():
        try:
            return open_pack(entry, key)
        except (DamagedPack, OSError) as error:
            log(f"the packed dataset is damaged and will be packed again: {error}")
            _remove(entry)
    cache.mkdir(parents=True, exist_ok=True)
    _remove_stale(cache)
    writing = cache / f"{WRITING}{uuid.uuid4().hex}"
    writing.mkdir()
    try:
        data = decode(DiskSink(writing, log))
        finish_pack(writing, data, key)
        try:
            writing.rename(entry)
        except OSError:
            if not entry.is_dir():  # else another run has packed it meanwhile
                raise
    finally:
        shutil.rmtree(writing, ignore_errors=True)
    return open_pack(entry, key)


class DiskSink(LoggingSink):
    """Stores pixels in mapped files of a folder. Raises RunError `no_space` if they do not fit."""

    limit = MAX_PACKED_BYTES
    needed = True

    def __init__(self, folder: Path, log: LogFn):
        super().__init__("packing", log)
        self._folder = folder

    def allocate(self, split: str, shape: Shape) -> Tensor:
        """See Sink."""
        count, channels, height, width = shape
        size_bytes = count * channels * height * width
        free_space(self._folder.parent, size_bytes)
        path = self._folder / f"{split}.pixels"
        with path.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)  # fails now if the disk is full
        return map_pixels(path, shape, "r+")


def free_space(cache: Path, needed_bytes: int) -> None:
    """Free space on the disk by removing the least recently used packs, as far as needed.

    A run that has mapped a removed pack can still read it. Raises RunError `no_space`.
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
            f"the packed dataset needs {needed_bytes / 2**20:.0f} MiB on disk, but only "
            f"{free / 2**20:.0f} MiB are free; free some space, or use a smaller image_size",
            pointer="/dataset",
        )


def _remove(entry: Path) -> None:
    """Remove a pack; renames it first, so that no run opens half of it."""
    gone = entry.with_name(f"{WRITING}{uuid.uuid4().hex}")
    try:
        entry.rename(gone)
    except OSError:
        return  # another run has removed it
    shutil.rmtree(gone, ignore_errors=True)


def _remove_stale(cache: Path) -> None:
    """Remove packs that killed runs left unfinished, and those not used for long."""
    for path in cache.iterdir():
        unfinished = path.name.startswith(WRITING)
        try:
            age_s = time.time() - (path if unfinished else path / MANIFEST).stat().st_mtime
        except OSError:
            continue  # another run has removed it, or it is not a pack
        if age_s > (STALE_S if unfinished else UNUSED_S):
            shutil.rmtree(path, ignore_errors=True)
