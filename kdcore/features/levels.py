"""Levels: activations that cover the image, whatever their layout, read as maps.

Convolutional networks give feature_BCHW, and some feature_BHWC; transformers give tokens, with a
few (class, registers) before those that tile the image. A vector counts as a map of one position.

B: batch, C: channels, H, W: height and width, N: tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from kdcore.features.taps import Outputs
from kdcore.spec.knobs.base import Tap

FeatureLayout = Literal["map", "channels_last", "tokens", "vector"]
MOST_PREFIX_TOKENS = 5  # a class token and four registers


@dataclass(frozen=True)
class Grid:
    """How an activation covers the image; `prefix`: tokens before those that tile it."""

    channels: int
    height: int
    width: int
    layout: FeatureLayout = "map"
    prefix: int = 0

    def fold(self, feature: Tensor) -> Tensor:
        """Reshape the activation to feature_BCHW, without the prefix tokens."""
        if self.layout == "map":
            return feature
        if self.layout == "channels_last":
            return feature.permute(0, 3, 1, 2)
        if self.layout == "vector":
            return feature[:, :, None, None]
        tokens_BNC = feature[:, self.prefix :]
        return tokens_BNC.transpose(1, 2).reshape(len(feature), -1, self.height, self.width)


@dataclass(frozen=True)
class Level:
    """A tap that can be read as a map."""

    tap: Tap
    grid: Grid

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.grid.channels, self.grid.height, self.grid.width

    def read(self, outputs: Outputs) -> Tensor:
        """The level's feature_BCHW in one pass."""
        return self.grid.fold(outputs.features[self.tap])

    def __str__(self) -> str:
        place = f"{self.tap.module!r}"
        if self.tap.position == "before_relu":
            place = f"the input of {place}"
        return f"{place} ({'x'.join(map(str, self.shape))})"


def grid_of(shape: Sequence[int], image: tuple[int, int]) -> Grid | None:
    """The grid of an activation of `shape` (without the batch) for an image of (height, width).

    None if it does not cover the image: both sides must be the image's, divided by one factor.
    """
    if len(shape) == 1:
        return Grid(shape[0], 1, 1, "vector")
    if len(shape) == 2:
        return _tokens(shape[0], shape[1], image)
    if len(shape) == 3:
        if _covers(shape[1], shape[2], image):
            return Grid(shape[0], shape[1], shape[2])
        if _covers(shape[0], shape[1], image):
            return Grid(shape[2], shape[0], shape[1], "channels_last")
    return None


def _covers(height: int, width: int, image: tuple[int, int]) -> bool:
    if height > image[0] or width > image[1]:
        return False
    return round(image[0] / height) == round(image[1] / width)


def _tokens(count: int, channels: int, image: tuple[int, int]) -> Grid | None:
    for prefix in range(min(MOST_PREFIX_TOKENS + 1, count)):
        height = round(math.sqrt((count - prefix) * image[0] / image[1]))
        if height == 0 or (count - prefix) % height:
            continue
        width = (count - prefix) // height
        if _tile(height, width, image) and (height, width) != (1, 1):
            return Grid(channels, height, width, "tokens", prefix)
    return None


def _tile(height: int, width: int, image: tuple[int, int]) -> bool:
    """Whether square patches of one size give that many rows and columns.

    Stricter than `_covers`, since more counts of tokens would cover an image by chance.
    """
    sizes = range(image[0] // height, -(-image[0] // height) + 1)
    return any((image[0] // p, image[1] // p) == (height, width) for p in sizes if p)
