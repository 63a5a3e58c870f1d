"""What there is to let go of, in figures."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["jobs", "uploads", "teacher_outputs", "run_directories", "blobs"]
MS_PER_S = 1000


@dataclass(frozen=True)
class Usage:
    """So many things of a kind, and their bytes on disk."""

    kind: Kind
    count: int = 0
    size: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        assert self.kind == other.kind, (self.kind, other.kind)
        return Usage(self.kind, self.count + other.count, self.size + other.size)


def usage(kind: Kind, sizes: Iterable[int]) -> Usage:
    """Things of these sizes."""
    sizes = list(sizes)
    return Usage(kind, len(sizes), sum(sizes))


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
