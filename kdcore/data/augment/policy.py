"""Applies the augmentations of a spec in order: draws for samples, then changes a batch."""

# B batch, H height, W width, C channels, N samples
# P: own samples, then partners if images are mixed

from collections.abc import Sequence

import torch
from torch import Tensor

from kdcore.data.augment.colour import Jitter
from kdcore.data.augment.cutout import Patch
from kdcore.data.augment.draws import DrawKey, Drawn, Transform
from kdcore.data.augment.placement import Centre, Mirror, PaddedCrop, ResizedCrop
from kdcore.data.augment.rand import RandomOperations
from kdcore.data.images import Size
from kdcore.spec.augment import (
    Augmentation,
    ColourJitter,
    Crop,
    Cutout,
    Flip,
    Knobs,
    RandAugment,
    RandomResizedCrop,
    with_knobs,
)

CACHED_BYTES = 2**20  # pixels processed together on a CPU, to stay in its caches


class Policy:
    """Every augmentation of `augment` except mixing, for images of size `stored` read at `size`.

    The draws depend only on sample and key, and the changed image only on the draws and the image,
    so batches may have any size and order.
    """

    def __init__(self, augment: tuple[Augmentation, ...], stored: Size, size: Size):
        knobs = with_knobs(augment)
        placing = [_placing(k, stored, size) for k in knobs.values()]
        changing = [_changing(k, size) for k in knobs.values()]
        # Bytes first, then floats.
        self._placing = [s for s in placing if s is not None]
        self._changing = [s for s in changing if s is not None]
        if stored != size and not {"crop", "random_resized_crop"} & set(knobs):
            self._placing.insert(0, Centre(size))

    def draw(self, index_PN: Tensor, key: DrawKey) -> list[Drawn]:
        """Draw for these samples; rows of shape (P, N), one dictionary per augmentation."""
        return [step.draw(index_PN, key) for step in (*self._placing, *self._changing)]

    def apply(self, pixels_BHWC: Tensor, drawn: Sequence[Drawn]) -> Tensor:
        """Turn uint8 pixels into images in [0, 1], float32, with drawn rows of shape (B,)."""
        size = len(pixels_BHWC)
        if pixels_BHWC.device.type == "cpu" and self._changes_much:
            size = max(1, CACHED_BYTES // max(1, pixels_BHWC[0].numel()))
        if size >= len(pixels_BHWC):
            return self._apply(pixels_BHWC, drawn)
        chunks = [
            self._apply(pixels_BHWC[start : start + size], rows_of(drawn, start, start + size))
            for start in range(0, len(pixels_BHWC), size)
        ]
        return torch.cat(chunks)

    @property
    def _changes_much(self) -> bool:
        return bool(self._changing) or any(isinstance(s, ResizedCrop) for s in self._placing)

    def _apply(self, pixels_BHWC: Tensor, drawn: Sequence[Drawn]) -> Tensor:
        placed, changed = drawn[: len(self._placing)], drawn[len(self._placing) :]
        for step, rows in zip(self._placing, placed, strict=True):
            pixels_BHWC = step.apply(pixels_BHWC, rows)
        images_BHWC = to_unit(pixels_BHWC)
        for step, rows in zip(self._changing, changed, strict=True):
            images_BHWC = step.apply(images_BHWC, rows)
        return images_BHWC


def to_unit(pixels_BHWC: Tensor) -> Tensor:
    """Convert bytes to floats in [0, 1] by a product, since devices round divisions differently."""
    return pixels_BHWC * (1 / 255)


def rows_of(drawn: Sequence[Drawn], start: int, end: int) -> list[Drawn]:
    """Select the rows from `start` to `end`."""
    return [{name: rows[start:end] for name, rows in one.items()} for one in drawn]


def columns_of(drawn: Sequence[Drawn], start: int, end: int) -> list[Drawn]:
    """Select the samples from `start` to `end`, partners after own samples: (P, N) to (B,)."""
    return [{name: rows[:, start:end].flatten(0, 1) for name, rows in one.items()} for one in drawn]


def _placing(knobs: Knobs, stored: Size, size: Size) -> Transform | None:
    match knobs:
        case Crop():
            return PaddedCrop(stored, size)
        case RandomResizedCrop():
            return ResizedCrop(knobs, stored, size)
        case Flip():
            return Mirror()
        case _:
            return None


def _changing(knobs: Knobs, size: Size) -> Transform | None:
    match knobs:
        case RandAugment():
            return RandomOperations(knobs)
        case ColourJitter():
            return Jitter(knobs)
        case Cutout():
            return Patch(knobs, size)
        case _:
            return None
