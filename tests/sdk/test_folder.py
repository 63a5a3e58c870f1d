"""A folder becomes one zip file, the same bytes every time; the format is seen from the names."""

import zipfile
from pathlib import Path

import pytest

from distillery.sdk.errors import UsageMistake
from distillery.sdk.folder import dataset_format, one_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    for name in ("train/cat/1.png", "train/dog/2.png", "test/cat/3.png"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def test_a_folder_is_zipped_the_same_way_every_time(folder: Path) -> None:
    with one_file(folder) as first:
        before = first.read_bytes()
        assert first.name == "pets.zip"
        with zipfile.ZipFile(first) as archive:
            assert archive.namelist() == ["test/cat/3.png", "train/cat/1.png", "train/dog/2.png"]
            assert archive.read("train/dog/2.png") == b"train/dog/2.png"
    (folder / "train/cat/1.png").touch()
    with one_file(folder) as again:
        assert again.read_bytes() == before
    assert not again.exists()


def test_hidden_files_and_links_stay_at_home(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git/config").write_text("secret")
    (folder / "train/cat/link.png").symlink_to("/etc/passwd")
    with one_file(folder) as path, zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 3


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    path.write_bytes(b"x")
    with one_file(path) as same:
        assert same == path
    assert path.exists()


def test_the_format_is_seen_from_the_names(folder: Path, tmp_path: Path) -> None:
    assert dataset_format(folder) == "folder"
    with one_file(folder) as path:
        assert dataset_format(path) == "folder"
    idx = tmp_path / "idx"
    idx.mkdir()
    (idx / "train-images-idx3-ubyte.gz").write_bytes(b"x")
    assert dataset_format(idx) == "idx"
    (tmp_path / "digits.npz").write_bytes(b"x")
    assert dataset_format(tmp_path / "digits.npz") == "npz"
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageMistake, match=r"not an \.npz file"):
        dataset_format(tmp_path / "notes.txt")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageMistake, match="no files"), one_file(tmp_path):
        pass
