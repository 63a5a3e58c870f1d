"""Reads datasets in NumPy's NPZ format: `x_train`, `y_train`, `x_test`, `y_test`, or `x`, `y`.

Images are NHW, NHWC or NCHW; uint8, other integers or booleans in range, or floats in [0, 1].
"""

# N samples, C channels, H height, W width

import io
import math
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from kdcore.data.archive import Files, open_files
from kdcore.data.images import (
    CHUNK,
    MAX_CHANNELS,
    MIN_SIDE,
    ImageData,
    Split,
    assemble,
    bad_dataset,
    check_size,
    to_labels,
)

TRAIN_NAMES = (("x_train", "y_train"), ("x", "y"), ("images", "labels"))
TEST_NAMES = ("x_test", "y_test")
Array = NDArray[np.generic]


def read_npz(path: Path) -> ImageData:
    """Read the dataset. Raises RunError `bad_dataset`, `bad_archive`, `unsafe_archive`."""
    files = open_files(path)
    known = {name.removesuffix(".npy") for name in files.names if name.endswith(".npy")}
    names = next((pair for pair in TRAIN_NAMES if pair[0] in known), None)
    if names is None:
        raise bad_dataset(
            f"the NPZ has the arrays {sorted(known)[:10]}; name them x_train, y_train, x_test,"
            " y_test, or x, y, or images, labels"
        )
    train = _read_split(files, known, *names)
    test = _read_split(files, known, *TEST_NAMES) if TEST_NAMES[0] in known else None
    return assemble(train, test)


def _read_split(files: Files, known: set[str], images: str, labels: str) -> Split:
    images_NCHW = _to_images(_read_array(files, images), images)
    if labels not in known:
        return Split(images_NCHW, None)
    return Split(images_NCHW, to_labels(_read_array(files, labels), len(images_NCHW), labels))


def _read_array(files: Files, name: str) -> Array:
    """Read one array; checks the header against the number of bytes, and unpickles nothing."""
    content = files.read(f"{name}.npy")
    stream = io.BytesIO(content)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        reader = readers[npy.read_magic(stream)]
        shape, fortran, dtype = reader(stream)
    except (ValueError, KeyError, EOFError) as error:
        raise bad_dataset(f"{name} is not an array: {error}") from error
    if dtype.hasobject or dtype.kind not in "biuf":
        raise bad_dataset(f"{name} has type {dtype}; only numbers are read, never Python objects")
    if (
        any(side < 0 for side in shape)
        or math.prod(shape) * dtype.itemsize != len(content) - stream.tell()
    ):
        raise bad_dataset(f"{name} has another number of bytes than its shape {shape} needs")
    flat: Array = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _to_images(values: Array, name: str) -> Tensor:
    if values.ndim == 3:
        values = values[:, None]
    elif values.ndim != 4:
        raise bad_dataset(f"{name} has shape {values.shape}; images are NHW, NHWC or NCHW")
    elif _channels_last(values.shape, name):
        values = values.transpose(0, 3, 1, 2)
    check_size(*values.shape)
    images_NCHW = torch.empty(values.shape, dtype=torch.uint8, memory_format=torch.channels_last)
    for start in range(0, len(values), CHUNK):
        chunk = _to_bytes(values[start : start + CHUNK], name)
        images_NCHW[start : start + CHUNK] = torch.from_numpy(chunk)
    return images_NCHW


def _channels_last(shape: tuple[int, ...], name: str) -> bool:
    """Whether the last axis holds the channels, as an axis shorter than MIN_SIDE must."""
    for limit in (MIN_SIDE - 1, MAX_CHANNELS):
        first, last = shape[1] <= limit, shape[3] <= limit
        if first != last:
            return last
    raise bad_dataset(
        f"{name} has shape {shape}, in which either axis could be the channels; give NHW, or sides "
        f"above {MAX_CHANNELS}"
    )


def _to_bytes(values: Array, name: str) -> NDArray[np.uint8]:
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    top = 1 if values.dtype.kind == "f" else 255
    low, high = float(values.min()), float(values.max())
    if math.isnan(low) or low < 0 or high > top:
        raise bad_dataset(
            f"{name} has values from {low:g} to {high:g}; {values.dtype} images are in [0, {top}]"
        )
    if top == 255:
        return values.astype(np.uint8)
    return np.rint(values.astype(np.float32) * 255).astype(np.uint8)
