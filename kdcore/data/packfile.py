"""Writes the files of a packed dataset, and checks them before they are mapped.

A pack is a folder of `manifest.json` and, for each split, `NAME.pixels` (uint8, NHWC),
`NAME.labels` (int64) and `NAME.sums` (int64, NC2: of each image's pixels and their squares).
"""

# N samples, C channels, H height, W width

import hashlib
import os
import warnings
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import Tensor

from kdcore.data.images import MAX_CHANNELS, MAX_CLASSES, MAX_SIDE, MIN_SIDE, ImageData, Split
from kdcore.data.sink import Shape
from kdcore.data.statistics import pixel_sums
from kdcore.runtime.atomic_write import write_new
from kdcore.spec.base import SpecModel

MANIFEST = "manifest.json"
MANIFEST_BYTES = 256 * 2**20
BLOCK_BYTES = 64 * 2**20  # of pixels under one checksum
CHECKED_BLOCKS = 16  # when a pack is opened; spread evenly if it has more


class PackedSplit(SpecModel):
    """The files of a split: their sample count and checksums."""

    count: int = Field(ge=1)
    labels: str | None = Field(None, description="SHA-256 of the labels file; None: no labels.")
    sums: str = Field(description="SHA-256 of the sums file.")
    pixels: tuple[int, ...] = Field(description="CRC-32 of each block of the pixels file.")


class PackManifest(SpecModel):
    """The description of a pack."""

    version: Literal[1] = 1
    key: str
    channels: int = Field(ge=1, le=MAX_CHANNELS)
    height: int = Field(ge=MIN_SIDE, le=MAX_SIDE)
    width: int = Field(ge=MIN_SIDE, le=MAX_SIDE)
    uniform: bool
    num_classes: int | None = Field(ge=2, le=MAX_CLASSES)
    class_names: tuple[str, ...] | None
    train: PackedSplit
    test: PackedSplit | None


class DamagedPack(Exception):
    """A pack does not match its manifest."""


def open_pack(entry: Path, key: str) -> ImageData:
    """Check and map a pack. Raises DamagedPack, OSError.

    Checks all sizes and labels, and CHECKED_BLOCKS blocks of pixels: all of them up to a GiB.
    """
    manifest_path = entry / MANIFEST
    if manifest_path.stat().st_size > MANIFEST_BYTES:
        raise DamagedPack(f"{MANIFEST} is larger than {MANIFEST_BYTES} bytes")
    try:
        manifest = PackManifest.model_validate_json(manifest_path.read_bytes())
    except ValidationError as error:
        raise DamagedPack(f"{MANIFEST} is not valid: {error.errors()[0]['msg']}") from error
    if manifest.key != key:
        raise DamagedPack(f"{MANIFEST} belongs to another dataset")
    os.utime(manifest_path)  # marks it as just used
    test = None if manifest.test is None else _open_split(entry, "test", manifest.test, manifest)
    return ImageData(
        train=_open_split(entry, "train", manifest.train, manifest),
        test=test,
        class_names=manifest.class_names,
        num_classes=manifest.num_classes,
        channels=manifest.channels,
        height=manifest.height,
        width=manifest.width,
        uniform=manifest.uniform,
    )


def _open_split(entry: Path, name: str, facts: PackedSplit, manifest: PackManifest) -> Split:
    shape = (facts.count, manifest.channels, manifest.height, manifest.width)
    path = entry / f"{name}.pixels"
    if path.stat().st_size != facts.count * manifest.channels * manifest.height * manifest.width:
        raise DamagedPack(f"{path.name} does not have the size in its manifest")
    images_NCHW = map_pixels(path, shape, "r")
    _check_pixels(images_NCHW, facts.pixels, path.name)
    labels_N = None
    if facts.labels is not None:
        labels_N = _numbers(entry / f"{name}.labels", facts.labels, facts.count)
        if manifest.num_classes is None or not _in_range(labels_N, manifest.num_classes):
            raise DamagedPack(f"{name}.labels has labels that are out of range")
    sums_N = _numbers(entry / f"{name}.sums", facts.sums, facts.count * manifest.channels * 2)
    sums_NC2 = sums_N.view(facts.count, manifest.channels, 2)
    return Split(images_NCHW, labels_N, sums_NC2=sums_NC2, mapped=True)


def _numbers(path: Path, sha256: str, count: int) -> Tensor:
    if path.stat().st_size != count * 8:
        raise DamagedPack(f"{path.name} does not have the size in its manifest")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedPack(f"{path.name} does not match its hash")
    return torch.frombuffer(bytearray(content), dtype=torch.int64)


def _in_range(labels_N: Tensor, num_classes: int) -> bool:
    return int(labels_N.min()) >= 0 and int(labels_N.max()) < num_classes


def map_pixels(path: Path, shape: Shape, mode: Literal["r", "r+"]) -> Tensor:
    """Map a file as images_NCHW."""
    count, channels, height, width = shape
    pixels_NHWC = np.memmap(path, np.uint8, mode, shape=(count, height, width, channels))
    with warnings.catch_warnings():  # about writing to a tensor that is mapped read-only
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2)


def _blocks(images_NCHW: Tensor) -> list[memoryview]:
    content = memoryview(images_NCHW.permute(0, 2, 3, 1).numpy().data).cast("B")
    return [content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES)]


def _check_pixels(images_NCHW: Tensor, checksums: tuple[int, ...], name: str) -> None:
    blocks = _blocks(images_NCHW)
    if len(blocks) != len(checksums):
        raise DamagedPack(f"{name} has {len(blocks)} blocks, not {len(checksums)}")
    count = min(len(blocks), CHECKED_BLOCKS)
    for step in range(count):
        at = step * (len(blocks) - 1) // max(1, count - 1)
        if zlib.crc32(blocks[at]) != checksums[at]:
            raise DamagedPack(f"block {at} of {name} does not match its checksum")


def finish_pack(folder: Path, data: ImageData, key: str) -> None:
    """Write labels, sums and manifest beside the pixels, and flush everything to disk."""

    def facts(name: str, split: Split) -> PackedSplit:
        labels = None
        if split.labels_N is not None:
            labels = _write_numbers(folder / f"{name}.labels", split.labels_N)
        sums = _write_numbers(folder / f"{name}.sums", pixel_sums(split.images_NCHW))
        with (folder / f"{name}.pixels").open("rb") as file:
            os.fsync(file.fileno())
        crcs = tuple(zlib.crc32(block) for block in _blocks(split.images_NCHW))
        return PackedSplit(count=len(split), labels=labels, sums=sums, pixels=crcs)

    manifest = PackManifest(
        key=key,
        channels=data.channels,
        height=data.height,
        width=data.width,
        uniform=data.uniform,
        num_classes=data.num_classes,
        class_names=data.class_names,
        train=facts("train", data.train),
        test=None if data.test is None else facts("test", data.test),
    )
    write_new(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())


def _write_numbers(path: Path, numbers_N: Tensor) -> str:
    """Write numbers as int64 and return the file's SHA-256."""
    content = numbers_N.to(torch.int64).contiguous().numpy().tobytes()
    write_new(path, content)
    return hashlib.sha256(content).hexdigest()
