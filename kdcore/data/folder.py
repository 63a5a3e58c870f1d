"""Reads image folders: `train/CLASS/*.png` and `test/CLASS/*.png`, or `CLASS/*.png`; also zipped.

Images directly in `train/`, or at the top, have no labels. JPEG, PNG and WebP are recognised by
their content. Files without an image's suffix, hidden files and `__MACOSX` are ignored.
"""

# N samples, C channels, H height, W width

import io
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from kdcore.data.archive import Files, open_files
from kdcore.data.fit import Fit
from kdcore.data.images import CHUNK, ImageData, Size, Split, assemble, bad_dataset, check_size
from kdcore.data.sink import MemorySink, Sink

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
FORMATS = ("PNG", "JPEG", "WEBP")
TRAIN_NAMES = frozenset({"train", "training"})
TEST_NAMES = frozenset({"test", "testing", "val", "valid", "validation"})
ORIENTATION = 0x0112
MAX_PIXELS = 64 * 2**20
GREY_MODES = frozenset({"1", "L", "I", "F", "I;16", "I;16B", "I;16L"})

T = TypeVar("T")


@dataclass(frozen=True)
class _Sample:
    name: str
    label: str | None


def read_folder(path: Path, fit: Fit | None = None, sink: Sink | None = None) -> ImageData:
    """Read the dataset at `path`, decoding into `sink` (default: memory) and fitting each image.

    If sizes differ and `fit` names none, all are stretched to the commonest one. Classes are
    numbered in the order of their names, numerically if all are numbers. Samples take turns by
    class, so that the first ones are balanced. Raises RunError `bad_dataset`, `bad_archive`,
    `unsafe_archive`, `dataset_too_large`.
    """
    files = open_files(path)
    splits = _find_samples(files)
    class_names = _class_names(splits)
    samples = [s for split in splits.values() for s in split]
    headers = list(_in_parallel(partial(_header, files), samples))
    sizes = Counter((height, width) for height, width, _ in headers)
    channels = 1 if all(grey for _, _, grey in headers) else 3
    own = sizes.most_common(1)[0][0]
    fit = fit or Fit()
    if fit.image_size is None:
        fit = replace(fit, image_size=own)
    sink = sink or MemorySink()
    check_size(len(samples), channels, *fit.stored(own), sink.limit)
    loader = _Loader(files, class_names, channels, fit, fit.stored(own), sink)
    loaded = {name: loader.load(name, split) for name, split in splits.items()}
    return assemble(loaded["train"], loaded.get("test"), class_names, uniform=len(sizes) == 1)


def _find_samples(files: Files) -> dict[str, list[_Sample]]:
    """The samples of `train` and, if there are any, of `test`."""
    paths = [p for p in map(PurePosixPath, files.names) if _is_image(p)]
    if not paths:
        raise bad_dataset(
            "there are no images; files ending in .png, .jpg, .jpeg or .webp are read"
        )
    depth = _wrapping_folders(paths)
    splits: dict[str, list[_Sample]] = {}
    tops = {p.parts[depth].lower() for p in paths if len(p.parts) > depth + 1}
    by_split = bool(tops & TRAIN_NAMES) or (bool(tops) and tops <= TEST_NAMES)
    if by_split and len(tops & TEST_NAMES) > 1:
        raise bad_dataset(
            f"{sorted(tops & TEST_NAMES)} are all names of the test split; keep one of them"
        )
    for path in paths:
        parts = path.parts[depth:]
        split = "train"
        if by_split:
            split = _split_of(parts)
            parts = parts[1:]
        label = parts[0] if len(parts) > 1 else None
        splits.setdefault(split, []).append(_Sample(str(path), label))
    return {name: _in_turn(name, samples) for name, samples in splits.items()}


def _split_of(parts: tuple[str, ...]) -> str:
    top = parts[0].lower()
    if len(parts) > 1 and top in TRAIN_NAMES:
        return "train"
    if len(parts) > 1 and top in TEST_NAMES:
        return "test"
    raise bad_dataset(f"{'/'.join(parts)} is neither in train nor in test; move or remove it")


def _is_image(path: PurePosixPath) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in SUFFIXES


def _wrapping_folders(paths: list[PurePosixPath]) -> int:
    """The number of outer folders that hold everything: 1 for `cats-and-dogs/train/cat/1.png`."""
    depth = 0
    while all(len(p.parts) > depth + 1 for p in paths):
        tops = {p.parts[depth] for p in paths}
        if len(tops) > 1 or next(iter(tops)).lower() in TRAIN_NAMES | TEST_NAMES:
            break
        depth += 1
    return depth


def _in_turn(split: str, samples: list[_Sample]) -> list[_Sample]:
    """Order samples by turns: the first of every class, then the second of every class, ..."""
    labelled = {s.label is not None for s in samples}
    if len(labelled) > 1:
        raise bad_dataset(
            f"{split} has images both inside and outside of class folders; move all of them into "
            "class folders, or none"
        )
    seen: Counter[str | None] = Counter()
    ranked = []
    for sample in samples:
        ranked.append((seen[sample.label], sample.label or "", sample.name, sample))
        seen[sample.label] += 1
    return [sample for *_, sample in sorted(ranked, key=lambda r: r[:3])]


def _class_names(splits: dict[str, list[_Sample]]) -> tuple[str, ...] | None:
    train = {s.label for s in splits.get("train", ()) if s.label is not None}
    test = {s.label for s in splits.get("test", ()) if s.label is not None}
    if "train" not in splits:
        raise bad_dataset("there are test images but no training images; add a folder train")
    if train and test - train:
        raise bad_dataset(
            f"test has classes that are missing from train: {sorted(test - train)[:5]}"
        )
    names = train or test
    if not names:
        return None
    if all(n.isdecimal() for n in names):
        return tuple(sorted(names, key=lambda n: (int(n), n)))
    return tuple(sorted(names))


def _open(files: Files, name: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(files.read(name)), formats=FORMATS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise bad_dataset(f"{name} is not a PNG, JPEG or WebP image: {error}") from error
    if image.width * image.height > MAX_PIXELS:
        raise bad_dataset(
            f"{name} has {image.width}x{image.height} pixels; the limit is {MAX_PIXELS} in all"
        )
    return image


def _header(files: Files, sample: _Sample) -> tuple[int, int, bool]:
    """Height, width, and whether the image is grey, without decoding it."""
    image = _open(files, sample.name)
    sideways = _orientation(image) in (5, 6, 7, 8)
    width, height = image.size[::-1] if sideways else image.size
    return height, width, image.mode in GREY_MODES


def _orientation(image: Image.Image) -> int:
    """EXIF's code for how to rotate or mirror the image; 1: not at all.

    EXIF data at the end of a PNG are ignored: to find them, Pillow would decode the whole image.
    """
    return int(image.getexif().get(ORIENTATION, 1)) if "exif" in image.info else 1


def _decode(files: Files, channels: int, fit: Fit, sample: _Sample) -> Tensor:
    try:
        image = _open(files, sample.name)
        if _orientation(image) != 1:
            image = ImageOps.exif_transpose(image)
        pixels = _to_8_bits(image) if channels == 1 else np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise bad_dataset(f"{sample.name} is damaged: {error}") from error
    image_NCHW = torch.from_numpy(pixels.reshape(1, image.height, image.width, channels).copy())
    return fit.apply(image_NCHW.permute(0, 3, 1, 2))[0]


def _to_8_bits(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    return (np.asarray(image).astype(np.float64) / 257).round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Loader:
    files: Files
    class_names: tuple[str, ...] | None
    channels: int
    fit: Fit
    size: Size
    sink: Sink

    def load(self, name: str, samples: list[_Sample]) -> Split:
        """Decode a split into the sink."""
        images_NCHW = self.sink.allocate(name, (len(samples), self.channels, *self.size))
        decoded = _in_parallel(partial(_decode, self.files, self.channels, self.fit), samples)
        for index, image_CHW in enumerate(decoded):
            images_NCHW[index] = image_CHW
            self.sink.progress(name, index + 1, len(samples))
        if self.class_names is None or samples[0].label is None:
            return Split(images_NCHW, None)
        number_of = {label: number for number, label in enumerate(self.class_names)}
        return Split(images_NCHW, torch.tensor([number_of[str(s.label)] for s in samples]))


def _in_parallel(work: Callable[[_Sample], T], samples: list[_Sample]) -> Iterator[T]:
    """Results in order, computed a chunk at a time on as many threads as torch uses.

    Decoders release Python's global lock.
    """
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for start in range(0, len(samples), CHUNK):
            yield from pool.map(work, samples[start : start + CHUNK])
