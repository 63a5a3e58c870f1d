"""Datasets on disk: which format a path is, and a folder as one zip file."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distillery.sdk.errors import UsageMistake
from kdcore.spec.recipe import DatasetFormat

IDX = ("-ubyte", "-ubyte.gz")
FIRST_DAY = (1980, 1, 1, 0, 0, 0)


@contextmanager
def one_file(path: Path) -> Iterator[Path]:
    """`path` itself if it is a file; a folder as a temporary zip, the same bytes every time."""
    if path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="kd-") as scratch:
        target = Path(scratch) / f"{path.resolve().name}.zip"
        _zip(path, target)
        yield target


def dataset_format(path: Path) -> DatasetFormat:
    """The format of a dataset file or folder, by its names. Raises UsageMistake."""
    if path.is_file() and path.suffix == ".npz":
        return "npz"
    if path.is_dir():
        names = [file.name for file in _files(path)]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    else:
        raise UsageMistake(
            f"{path} is neither a .npz file, a zip file nor a folder.",
            hint="A folder holds train/CLASS/IMAGE files, or the four IDX files of the MNIST kind.",
        )
    return "idx" if any(name.endswith(IDX) for name in names) else "folder"


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _zip(folder: Path, target: Path) -> None:
    files = _files(folder)
    if not files:
        raise UsageMistake(f"There are no files in {folder}.")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # images do not shrink
        for file in files:
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), FIRST_DAY)
            entry.external_attr = 0o644 << 16
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                while chunk := source.read(1 << 20):
                    sink.write(chunk)
