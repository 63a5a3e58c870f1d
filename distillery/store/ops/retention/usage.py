"""Counts and sizes of what retention deletes."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy.orm import Session

from distillery.store.db.database import db_now

Kind = Literal["jobs", "uploads", "teacher_outputs", "run_directories", "blobs"]
MS_PER_S = 1000


@dataclass(frozen=True)
class Usage:
    """How many items of a kind, and their bytes on disk."""

    kind: Kind
    count: int = 0
    size: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        assert self.kind == other.kind, (self.kind, other.kind)
        return Usage(self.kind, self.count + other.count, self.size + other.size)


def usage(kind: Kind, sizes: Iterable[int]) -> Usage:
    """Return the usage of items of these sizes."""
    sizes = list(sizes)
    return Usage(kind, len(sizes), sum(sizes))


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def cutoff_ms(s: Session, keep_s: float) -> int:
    """Return the database time before which what is kept for `keep_s` has expired."""
    return db_now(s) - int(keep_s * MS_PER_S)
