"""Local disks that fail, and files whose writers died."""

import errno
import os
import time
from pathlib import Path

import pytest

from distillery.store.blobs.disk import lock_file, remove_abandoned, translate_disk_errors
from distillery.store.blobs.upload_parts import PartSlot, UploadParts
from distillery.store.errors import NoSpace, StorageFailed

HOUR_AGO = time.time() - 3600


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EIO, StorageFailed),
        (errno.EROFS, StorageFailed),
    ],
)
def test_errors_of_the_operating_system_are_translated(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind), translate_disk_errors():
        raise OSError(number, os.strerror(number))


def test_only_old_unlocked_files_are_removed(tmp_path: Path) -> None:
    locked, left, fresh = (tmp_path / name for name in ("locked", "left", "fresh"))
    for path in (locked, left, fresh):
        path.write_text("half")
    for path in (locked, left):
        os.utime(path, (HOUR_AGO, HOUR_AGO))
    with locked.open("rb") as file:
        lock_file(file)
        remove_abandoned([locked, left, fresh, tmp_path / "gone"])
        assert sorted(tmp_path.iterdir()) == [fresh, locked]
    remove_abandoned([locked])
    assert sorted(tmp_path.iterdir()) == [fresh]


def test_a_part_on_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    """/dev/full takes no byte, as a full disk does; opening it stands for the part's own file."""
    parts = UploadParts(tmp_path)
    with pytest.raises(NoSpace), parts.receive(PartSlot("upl_1", 1, 10)) as part:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, part._file.fileno())
        os.close(full)
        part.write(bytes(10))
    assert list((tmp_path / "upl_1").iterdir()) == []
