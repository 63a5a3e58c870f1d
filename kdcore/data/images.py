"""Holds a dataset: splits of uint8 images with class numbers, checked against limits."""

# N samples, C channels, H height, W width

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdcore.runtime.errors import RunError
from kdcore.spec.codes import RunCode

MIN_SIDE, MAX_SIDE = 4, 1024
MAX_CHANNELS = 16
MAX_CLASSES = 1_000_000
MAX_BYTES = 16 * 2**30  # of pixels in memory
CHUNK = 1024  # images processed at a time

Size = tuple[int, int]
"""Height, width."""


@dataclass(frozen=True)
class Split:
    """Images (uint8) and, if there are labels, their class numbers (int64).

    `size`: height and width that are read of each image, its centre or a window; None: all of it.
    `sums_NC2`: each image's `statistics.pixel_sums`, if known. `mapped`: whether the pixels are in
    a file and need not fit into memory. `content`: a name that no other images have, if known.
    """

    images_NCHW: Tensor
    labels_N: Tensor | None
    size: Size | None = None
    sums_NC2: Tensor | None = None
    mapped: bool = False
    content: str | None = None

    def __len__(self) -> int:
        return len(self.images_NCHW)


@dataclass(frozen=True)
class ImageData:
    """A whole dataset, with all images of one size; `uniform`: whether they had it originally."""

    train: Split
    test: Split | None
    class_names: tuple[str, ...] | None
    num_classes: int | None
    channels: int
    height: int
    width: int
    uniform: bool = True


def bad_dataset(message: str, code: RunCode = RunCode.BAD_DATASET) -> RunError:
    """Make the error for a dataset that cannot be used."""
    return RunError(code, message, pointer="/dataset")


def check_size(count: int, channels: int, height: int, width: int, limit: int = MAX_BYTES) -> None:
    """Raise RunError if no network reads such images, or if they take more than `limit` bytes."""
    if count == 0:
        raise bad_dataset("a split has no images; add some or remove it")
    if not (MIN_SIDE <= height <= MAX_SIDE and MIN_SIDE <= width <= MAX_SIDE):
        raise bad_dataset(
            f"images are {height}x{width} pixels; each side must be {MIN_SIDE} to {MAX_SIDE}"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise bad_dataset(f"images have {channels} channels; the limit is {MAX_CHANNELS}")
    if count * channels * height * width > limit:
        raise bad_dataset(
            f"{count} images of {channels}x{height}x{width} take more than"
            f" {limit / 2**30:g} GiB; use smaller or fewer images",
            code=RunCode.DATASET_TOO_LARGE,
        )


def to_labels(values: NDArray[np.generic], count: int, name: str) -> Tensor:
    """Convert an array of shape (N,) or (N, 1) to class numbers.

    Classes without samples are allowed; negative and non-integer numbers are not.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise bad_dataset(f"{name} has shape {values.shape}; give one class number per image")
    if len(values) != count:
        raise bad_dataset(f"{name} has {len(values)} labels for {count} images")
    if not np.issubdtype(values.dtype, np.integer):
        raise bad_dataset(f"{name} has type {values.dtype}; labels are integers from 0")
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise bad_dataset(f"{name} has the label {low}; labels are integers from 0")
    if high >= MAX_CLASSES:
        raise bad_dataset(f"{name} has the label {high}; the limit is {MAX_CLASSES} classes")
    return torch.from_numpy(values.astype(np.int64))


def assemble(
    train: Split,
    test: Split | None,
    class_names: tuple[str, ...] | None = None,
    uniform: bool = True,
) -> ImageData:
    """Make a dataset of splits that fit each other.

    Unless classes are named, their number is the largest label of either split plus one. Raises
    RunError `bad_dataset`.
    """
    _, channels, height, width = train.images_NCHW.shape
    if test is not None:
        if test.images_NCHW.shape[1:] != train.images_NCHW.shape[1:]:
            raise bad_dataset(
                f"training images are {tuple(train.images_NCHW.shape[1:])}, but test images are"
                f" {tuple(test.images_NCHW.shape[1:])} (channels, height, width)"
            )
        if train.labels_N is not None and test.labels_N is None:
            raise bad_dataset(
                "the training images have labels, but the test images have none; add them"
            )
    splits = [train] if test is None else [train, test]
    tops = [int(s.labels_N.max()) + 1 for s in splits if s.labels_N is not None]
    num_classes = len(class_names) if class_names else max(tops, default=None)
    if num_classes is not None and num_classes < 2:
        raise bad_dataset("all images belong to one class; at least 2 classes are needed")
    return ImageData(train, test, class_names, num_classes, channels, height, width, uniform)
