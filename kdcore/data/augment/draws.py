"""Draws random numbers for augmentations, hashed from (seed, stage, epoch, purpose, sample).

They are drawn on the CPU whatever the device is, so that every device augments alike.
"""

# P: own samples, then partners if images are mixed; N samples

from enum import IntEnum
from typing import Protocol

from torch import Tensor

from kdcore.data.counter import draw_unit

DrawKey = tuple[int, int, int]
"""Seed, stage, and epoch or view."""

Drawn = dict[str, Tensor]
"""The numbers an augmentation drew, by name: one row per sample, on the CPU."""


class Purpose(IntEnum):
    """The purpose of a random number, hashed into its key.

    Add new ones at the end: every seeded result depends on the existing values.
    """

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


class Transform(Protocol):
    """One augmentation; what it draws, and what it does with that, are pure functions."""

    def draw(self, index: Tensor, key: DrawKey) -> Drawn:
        """Draw for the samples `index`: tensors of the same shape, or with one more axis."""

    def apply(self, images_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """Change each image by its row of `drawn`."""


def draw_between(low: float, high: float, index: Tensor, *key_values: int) -> Tensor:
    """A uniform number (float64) in (low, high) for each index."""
    return low + (high - low) * draw_unit(index, *key_values)


def per_image(values_B: Tensor, images_BHWC: Tensor) -> Tensor:
    """Move one value per image to the images' device, shaped to broadcast over them."""
    return values_B.to(images_BHWC.device, non_blocking=True)[:, None, None, None]
