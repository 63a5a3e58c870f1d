"""Reads datasets in MNIST's IDX format: a zip or directory of `*-images-idx3-ubyte[.gz]` files."""

# N samples, H height, W width

import gzip
import io
import math
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kdcore.data.archive import Files, open_files
from kdcore.data.images import ImageData, Split, assemble, bad_dataset, check_size, to_labels

# train-images-idx3-ubyte.gz, t10k-labels.idx1-ubyte, emnist-letters-test-images-idx3-ubyte, ...
NAME = re.compile(r"(train|t10k|test)[-_.](images|labels)[-_.]idx([13])[-_.]ubyte(\.gz)?$")
UNSIGNED_BYTE = 0x08


def read_idx(path: Path) -> ImageData:
    """Read the dataset. Raises RunError `bad_dataset`, `bad_archive`, `unsafe_archive`."""
    files = open_files(path)
    found: dict[tuple[str, str], str] = {}
    for name in files.names:
        if match := NAME.search(name):
            split = "train" if match[1] == "train" else "test"
            if (split, match[2]) in found:
                raise bad_dataset(
                    f"{found[split, match[2]]} and {name} are both {match[2]} of {split}; keep one"
                )
            found[split, match[2]] = name
    if ("train", "images") not in found:
        raise bad_dataset("there is no file train-images-idx3-ubyte, or the same with .gz")
    test = _read_split(files, found, "test") if ("test", "images") in found else None
    return assemble(_read_split(files, found, "train"), test)


def _read_split(files: Files, found: dict[tuple[str, str], str], split: str) -> Split:
    images_NHW = _read_array(files, found[split, "images"], axes=3)
    check_size(len(images_NHW), 1, *images_NHW.shape[1:])
    images_NCHW = torch.from_numpy(images_NHW.copy())[:, None]
    name = found.get((split, "labels"))
    if name is None:
        return Split(images_NCHW, None)
    labels_N = _read_array(files, name, axes=1)
    return Split(images_NCHW, to_labels(labels_N, len(images_NCHW), name))


def _read_array(files: Files, name: str, axes: int) -> NDArray[np.uint8]:
    """Read one file: zero, zero, type, number of axes; a big-endian length per axis; the bytes."""
    stream: io.BufferedIOBase = io.BytesIO(files.read(name))
    if name.endswith(".gz"):
        stream = gzip.GzipFile(fileobj=stream)
    try:
        magic = stream.read(4)
        if magic != bytes((0, 0, UNSIGNED_BYTE, axes)):
            raise bad_dataset(f"{name} is not an IDX file of bytes with {axes} axes")
        shape = struct.unpack(f">{axes}I", stream.read(4 * axes))
        if axes == 3:
            check_size(shape[0], 1, shape[1], shape[2])
        wanted = math.prod(shape)
        # One byte more shows that the file is too long, and no more is inflated.
        content = stream.read(wanted + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise bad_dataset(f"{name} is damaged: {error}") from error
    if len(content) != wanted:
        raise bad_dataset(f"{name} has another number of bytes than its shape {shape} needs")
    return np.frombuffer(content, np.uint8).reshape(shape)
