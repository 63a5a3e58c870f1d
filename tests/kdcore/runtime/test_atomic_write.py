"""Files are complete or absent: flushed before they are renamed, and never overwritten in place."""

import errno
import os
from pathlib import Path

import pytest

from kdcore.runtime.atomic_write import sync_folder, write_atomically, write_new


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, b"first")
    reader = path.open("rb")
    write_atomically(path, b"second")
    with reader:
        assert reader.read() == b"first", "an open file keeps its content"
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_file_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    write_atomically(path, b"first")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"second")
    assert path.read_bytes() == b"first"


def test_everything_is_flushed_before_a_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int, bool]] = []
    fsync, target = os.fsync, tmp_path / "result.json"

    def watched(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append((path.name, os.fstat(descriptor).st_size, target.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_atomically(target, b"12345")
    write_new(tmp_path / "labels", b"123")
    assert seen == [("result.writing", 5, False), ("labels", 3, True)]


def test_a_new_file_must_not_exist(tmp_path: Path) -> None:
    write_new(tmp_path / "labels", b"123")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "labels", b"456")
    assert (tmp_path / "labels").read_bytes() == b"123"


def test_a_folder_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda d: flushed.append(Path(f"/proc/self/fd/{d}").readlink())
    )
    sync_folder(tmp_path)
    assert flushed == [tmp_path.resolve()]
