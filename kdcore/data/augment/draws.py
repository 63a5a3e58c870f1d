"""What augmentations draw: numbers hashed from (seed, stage, epoch, purpose, sample), on the CPU.

Draws are made on the CPU whatever the device, so that every device augments alike.
"""

# P parts (own samples, then partners), N samples

from enum import IntEnum
from typing import Protocol

from torch import Tensor

from kdcore.data.counter import draw_unit

Key = tuple[int, int, int]
"""Seed, stage, and epoch (or view)."""

Drawn = dict[str, Tensor]
"""What a step drew, by name: one row per sample, on the CPU."""


class Purpose(IntEnum):
    """What a random number is for; part of its key. New ones go to the end: the numbers of the old
    ones are in every seeded result."""

    ORDER = 0
    CROP_ROW = 1
    CROP_COLUMN = 2
    FLIP = 3
    HOLD_OUT = 4
    WINDOW_AREA = 5
    WINDOW_RATIO = 6
    WINDOW_ROW = 7
    WINDOW_COLUMN = 8
    OPERATION = 9
    MAGNITUDE = 10
    SIGN = 11
    BRIGHTNESS = 12
    CONTRAST = 13
    SATURATION = 14
    CUTOUT = 15
    CUTOUT_ROW = 16
    CUTOUT_COLUMN = 17
    PARTNER = 18
    MIX = 19
    MIX_KIND = 20
    MIX_SHARE = 21
    BOX_ROW = 22
    BOX_COLUMN = 23


class Step(Protocol):
    """One augmentation: pure in what it draws, and in what it does with that to every image."""

    def draw(self, index: Tensor, key: Key) -> Drawn:
        """What it does to the samples `index` (any shape); tensors of that shape, or with one more
        axis."""

    def apply(self, images_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """The images, each changed by its row of `drawn`."""


def draw_between(low: float, high: float, index: Tensor, *parts: int) -> Tensor:
    """A uniform number (float64) in (low, high) for each index."""
    return low + (high - low) * draw_unit(index, *parts)


def per_image(values_B: Tensor, images_BHWC: Tensor) -> Tensor:
    """The values on the images' device, to be combined with them."""
    return values_B.to(images_BHWC.device, non_blocking=True)[:, None, None, None]
