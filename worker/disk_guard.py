"""Checks that the disks have enough free space to start a run; jobs wait while they have not."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DiskGuard:
    """Directories that runs and results fill, by purpose, and the free space they need."""

    folders: dict[str, Path]
    min_free_bytes: int

    def shortage(self) -> str | None:
        """Describe the first disk with too little free space; None if all have enough."""
        for purpose, folder in self.folders.items():
            free = _free_bytes(folder)
            if free is not None and free < self.min_free_bytes:
                return (
                    f"{free >> 20} MiB are free for {purpose} ({folder}), less than the "
                    f"{self.min_free_bytes >> 20} MiB of KD_MIN_FREE_BYTES"
                )
        return None


def _free_bytes(folder: Path) -> int | None:
    """Free space where the directory is or will be created; None if it cannot be determined."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
