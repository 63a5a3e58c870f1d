"""Loads a dataset of any accepted format into memory, at the size a run wants it."""

from dataclasses import replace
from pathlib import Path

from kdcore.data.folder import read_folder
from kdcore.data.idx import read_idx
from kdcore.data.images import ImageData as ImageData
from kdcore.data.images import Split as Split
from kdcore.data.images import pad, resize
from kdcore.data.npz import read_npz
from kdcore.spec.parts import DatasetFormat
from kdcore.spec.run import RunDataset


def load_dataset(
    dataset: RunDataset,
    image_size: tuple[int, int] | None = None,
    *,
    pad_to: tuple[int, int] | None = None,
    train_limit: int | None = None,
) -> ImageData:
    """The dataset, its images stretched to `image_size`, then padded with zeros to `pad_to`; only
    the first `train_limit` training images (a folder's are in turn of all classes).

    Raises RunError (exit BAD_INPUT): `bad_dataset`, `bad_archive`, `unsafe_archive`,
    `dataset_too_large`; and `bad_pad`.
    """
    path = Path(dataset.path)
    data = _read(path, dataset.format, image_size)

    def fit(split: Split) -> Split:
        images_NCHW = split.images_NCHW
        if image_size is not None:
            images_NCHW = resize(images_NCHW, image_size)
        if pad_to is not None:
            images_NCHW = pad(images_NCHW, pad_to)
        return replace(split, images_NCHW=images_NCHW)

    train = data.train
    if train_limit is not None:
        labels_N = None if train.labels_N is None else train.labels_N[:train_limit]
        train = Split(train.images_NCHW[:train_limit], labels_N)
    train = fit(train)
    test = None if data.test is None else fit(data.test)
    _, _, height, width = train.images_NCHW.shape
    return replace(data, train=train, test=test, height=height, width=width)


def _read(path: Path, format: DatasetFormat, image_size: tuple[int, int] | None) -> ImageData:
    if format == "folder":
        return read_folder(path, image_size)
    return read_npz(path) if format == "npz" else read_idx(path)
