"""Whether there is disk space enough to begin a run: where it is short, jobs wait for it."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DiskGuard:
    """Folders that runs and their results fill, by what they are for, and the low-water mark."""

    folders: dict[str, Path]
    min_free_bytes: int

    def shortage(self) -> str | None:
        """Where a disk has less free than it must, in words; None: nowhere."""
        for purpose, folder in self.folders.items():
            free = _free(folder)
            if free is not None and free < self.min_free_bytes:
                return (
                    f"{free >> 20} MiB are free for {purpose} ({folder}), less than the "
                    f"{self.min_free_bytes >> 20} MiB of KD_MIN_FREE_BYTES"
                )
        return None


def _free(folder: Path) -> int | None:
    """Bytes free where the folder is, or would be made; None where nobody knows."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
