"""Loads a dataset of any accepted format at the size a run wants it: into memory, or packed."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

from kdcore.data.archive import open_files
from kdcore.data.fit import Fit, place
from kdcore.data.folder import read_folder
from kdcore.data.idx import read_idx
from kdcore.data.images import ImageData as ImageData
from kdcore.data.images import Split as Split
from kdcore.data.npz import read_npz
from kdcore.data.pack import load_packed
from kdcore.data.sink import LogFn, MemorySink, NullSink, Sink
from kdcore.spec.run import RunDataset

PACKING = 1  # of the decoding: a change that gives other pixels is another number
CHUNK_BYTES = 2**20


def load_dataset(
    dataset: RunDataset,
    image_size: tuple[int, int] | None = None,
    *,
    resize_to: int | None = None,
    pad_to: tuple[int, int] | None = None,
    train_limit: int | None = None,
    packs: Path | None = None,
    log: LogFn = lambda _: None,
) -> ImageData:
    """The dataset, its images stretched to `image_size`, then padded with zeros to `pad_to`; or
    their shorter side shrunk to `resize_to` and the centre of `image_size` read; only the first
    `train_limit` training images (a folder's are in turn of all classes).

    With `packs`, it is mapped from a pack in that folder, which is made where there is none;
    `log` hears how far that is. The dataset's height and width are those of what is read.
    Raises RunError (exit BAD_INPUT): `bad_dataset`, `bad_archive`, `unsafe_archive`,
    `dataset_too_large`; and `bad_pad`, `no_space`.
    """
    fit = Fit(image_size, resize_to, pad_to)
    path = Path(dataset.path)
    if packs is None:
        data = _read(path, dataset, fit, MemorySink(log))
    else:
        open_files(path)  # what is not there, or unsafe, is said before anything is hashed
        key = pack_key(dataset, fit)
        data = load_packed(packs, key, lambda sink: _read(path, dataset, fit, sink), log)
        data = replace(
            data,
            train=replace(data.train, content=f"{key}/train/{train_limit}"),
            test=data.test and replace(data.test, content=f"{key}/test"),
        )
    height, width = fit.read() or (data.height, data.width)
    train = data.train
    if train_limit is not None:
        labels_N = None if train.labels_N is None else train.labels_N[:train_limit]
        sums_NC2 = None if train.sums_NC2 is None else train.sums_NC2[:train_limit]
        images_NCHW = train.images_NCHW[:train_limit]
        train = replace(train, images_NCHW=images_NCHW, labels_N=labels_N, sums_NC2=sums_NC2)
    train = replace(train, size=fit.read())
    test = None if data.test is None else replace(data.test, size=fit.read())
    return replace(data, train=train, test=test, height=height, width=width)


def scan_dataset(dataset: RunDataset, log: LogFn = lambda _: None) -> ImageData:
    """The dataset with every image decoded, but perhaps none kept: for its labels and sizes alone.

    Raises RunError as `load_dataset` does.
    """
    return _read(Path(dataset.path), dataset, Fit(), NullSink(log))


def pack_key(dataset: RunDataset, fit: Fit) -> str:
    """Begins with the content's hash, and goes on with one of it and of all that decides how it is
    decoded.

    A folder is told by its files' names, sizes and times of change, not by reading them all.
    """
    path = Path(dataset.path)
    content = dataset.sha256 or (_of_folder(path) if path.is_dir() else _of_file(path))
    said = {"content": content, "format": dataset.format, "packing": PACKING, **asdict(fit)}
    decoding = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return f"{content[:16]}-{decoding}"


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_folder(path: Path) -> str:
    digest = hashlib.sha256()
    for name in open_files(path).names:
        facts = (path / name).stat()
        digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _read(path: Path, dataset: RunDataset, fit: Fit, sink: Sink) -> ImageData:
    if dataset.format == "folder":
        return read_folder(path, fit, sink)
    data = read_npz(path) if dataset.format == "npz" else read_idx(path)
    return place(data, fit, sink)
