"""Datasets on disk: the format of a path, a folder as one zip file, arrays as one npz file."""

import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distillery.sdk.errors import INSTALL_NOTEBOOK, UsageMistake
from kdcore.spec.recipe import DatasetFormat

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

IDX = ("-ubyte", "-ubyte.gz")
FIRST_DAY = (1980, 1, 1, 0, 0, 0)


@contextmanager
def one_file(path: Path) -> Iterator[Path]:
    """Yield `path` itself if it is a file; a folder as a temporary zip, always the same bytes."""
    if path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="kd-") as scratch:
        target = Path(scratch) / f"{path.resolve().name}.zip"
        _zip(path, target)
        yield target


@contextmanager
def npz_file(arrays: "Mapping[str, ArrayLike]") -> Iterator[Path]:
    """Yield a temporary .npz file that holds the arrays. Raises UsageMistake without numpy."""
    try:
        import numpy as np
    except ImportError as error:
        raise UsageMistake(
            "Pushing arrays needs numpy, which is not installed.", hint=INSTALL_NOTEBOOK
        ) from error
    with tempfile.TemporaryDirectory(prefix="kd-") as scratch:
        target = Path(scratch) / "arrays.npz"
        for name, array in arrays.items():
            if np.asarray(array).dtype.kind not in "biuf":
                raise UsageMistake(f"{name} does not hold numbers.")
        np.savez(target, **arrays)  # type: ignore[arg-type]  # no array is named allow_pickle
        yield target


def dataset_format(path: Path) -> DatasetFormat:
    """Tell the format of a dataset by its file names. Raises UsageMistake."""
    if not path.exists():
        raise UsageMistake(f"There is no file or folder {path}.")
    if path.is_file() and path.suffix == ".npz":
        return "npz"
    if path.is_dir():
        names = [file.name for file in _files(path)]
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    else:
        raise UsageMistake(
            f"{path} is not an .npz file, a zip file or a folder.",
            hint="A folder holds train/CLASS/IMAGE and test/CLASS/IMAGE, or IDX files like MNIST.",
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
