"""Loads a dataset of any accepted format at the size a run needs: into memory, or packed."""

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

from kdcore.data.archive import open_files
from kdcore.data.fit import Fit, place
from kdcore.data.folder import read_folder
from kdcore.data.idx import read_idx
from kdcore.data.images import ImageData
from kdcore.data.npz import read_npz
from kdcore.data.pack import load_packed
from kdcore.data.sink import LogFn, MemorySink, NullSink, Sink
from kdcore.runtime.hashing import file_sha256, json_sha256
from kdcore.spec.run import RunDataset

DECODING_VERSION = 1  # increase it if decoding gives other pixels


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
    """Load a dataset with all images of one size.

    Images are stretched to `image_size`, then padded with zeros to `pad_to`; or their shorter side
    is resized to `resize_to`, and the centre of `image_size` is read. `train_limit`: use only the
    first training images (in a folder, classes take turns). `packs`: a folder to map the dataset
    from; if it is not packed there yet, it is packed first. `log` is called with the progress.
    The dataset's height and width are those that are read. Raises RunError (exit BAD_INPUT)
    `bad_dataset`, `bad_archive`, `unsafe_archive`, `dataset_too_large`; and `bad_pad`, `no_space`.
    """
    fit = Fit(image_size, resize_to, pad_to)
    path = Path(dataset.path)
    if packs is None:
        data = _read(path, dataset, fit, MemorySink(log))
    else:
        open_files(path)  # raises if it is missing or unsafe, before anything is hashed
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
    """Decode every image of a dataset without keeping the pixels, for its labels and sizes.

    Raises RunError like `load_dataset`.
    """
    return _read(Path(dataset.path), dataset, Fit(), NullSink(log))


def pack_key(dataset: RunDataset, fit: Fit) -> str:
    """The name of a pack: the start of the content's hash, then a hash of everything that decides
    the pixels.

    A folder is identified by its files' names, sizes and modification times.
    """
    path = Path(dataset.path)
    content = dataset.sha256 or (_folder_sha256(path) if path.is_dir() else file_sha256(path))
    facts = {"content": content, "format": dataset.format, "packing": DECODING_VERSION}
    return f"{content[:16]}-{json_sha256({**facts, **asdict(fit)})}"


def _folder_sha256(path: Path) -> str:
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
