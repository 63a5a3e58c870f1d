"""Crops and mirrors images, as bytes."""

# B batch, H height, W width, C channels, N samples, T tries

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor
from torch.nn import functional

from kdcore.data.augment.draws import DrawKey, Drawn, Purpose, draw_between, per_image
from kdcore.data.augment.resample import read_grid
from kdcore.data.counter import draw_below
from kdcore.data.images import Size
from kdcore.spec.augment import RandomResizedCrop

CROP_FRACTION = 8  # the padding is 1/8 of the side, rounded up
TRIES = 10  # at finding a window inside of the image


@dataclass(frozen=True)
class Centre:
    """Crops the centre, as evaluation does."""

    size: Size

    def draw(self, index: Tensor, key: DrawKey) -> Drawn:
        """Draw nothing."""
        return {}

    def apply(self, images_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """Crop; an odd extra pixel is dropped at the bottom or right."""
        top, left = ((h - s) // 2 for h, s in zip(images_BHWC.shape[1:3], self.size, strict=True))
        return images_BHWC[:, top : top + self.size[0], left : left + self.size[1]]


@dataclass(frozen=True)
class PaddedCrop:
    """Crops `size` at random from images of size `stored`, which are padded if they are not larger.

    The padding is zeros.
    """

    stored: Size
    size: Size

    def draw(self, index: Tensor, key: DrawKey) -> Drawn:
        """Draw the window's first row and column."""
        (row_limit, column_limit), (pad_h, pad_w) = self._margins(), self._pad()
        return {
            "row": draw_below(row_limit + 2 * pad_h + 1, index, *key, Purpose.CROP_ROW),
            "column": draw_below(column_limit + 2 * pad_w + 1, index, *key, Purpose.CROP_COLUMN),
        }

    def apply(self, images_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """Crop the windows."""
        pad_h, pad_w = self._pad()
        padded_BHWC = functional.pad(images_BHWC, (0, 0, pad_w, pad_w, pad_h, pad_h)).contiguous()
        device = images_BHWC.device
        row_B, column_B = (drawn[n].to(device, non_blocking=True) for n in ("row", "column"))
        return _cut(padded_BHWC, row_B, column_B, self.size)

    def _margins(self) -> Size:
        return self.stored[0] - self.size[0], self.stored[1] - self.size[1]

    def _pad(self) -> Size:
        if self.stored != self.size:
            return 0, 0
        return -(-self.size[0] // CROP_FRACTION), -(-self.size[1] // CROP_FRACTION)


def _cut(padded_BHWC: Tensor, row_B: Tensor, column_B: Tensor, size: Size) -> Tensor:
    """Each image's window of `size` that starts at (row, column).

    A single gather from a strided view of every window.
    """
    batch, padded_h, padded_w, channels = padded_BHWC.shape
    height, width = size
    image, line, pixel, _ = padded_BHWC.stride()
    windows = padded_BHWC.as_strided(
        (batch, padded_h - height + 1, padded_w - width + 1, height, width * channels),
        (image, line, pixel, line, 1),
    )
    image_B = torch.arange(batch, device=padded_BHWC.device)
    return windows[image_B, row_B, column_B].view(batch, height, width, channels)


@dataclass(frozen=True)
class ResizedCrop:
    """Stretches a random window to `size`, bilinear (Szegedy et al. 2015, section 6).

    Unlike common implementations it does not antialias, which matters only if the stored image is
    much larger than `size`.
    """

    knobs: RandomResizedCrop
    stored: Size
    size: Size

    def draw(self, index: Tensor, key: DrawKey) -> Drawn:
        """Draw top, left, height and width in whole pixels: the first of TRIES windows that fits,
        else the largest centred window of an allowed aspect ratio."""
        tries = [self._try(index, (*key, number)) for number in range(TRIES)]
        rows_T, columns_T = (torch.stack(side, -1) for side in zip(*tries, strict=True))
        fits_T = (rows_T <= self.stored[0]) & (columns_T <= self.stored[1])
        first = fits_T.int().argmax(-1, keepdim=True)
        height, width = (side.gather(-1, first)[..., 0] for side in (rows_T, columns_T))
        found = fits_T.any(-1)
        rows, columns = self._largest()
        height, width = height.where(found, rows), width.where(found, columns)
        free_rows, free_columns = self.stored[0] - height, self.stored[1] - width
        top = draw_between(0, 1, index, *key, Purpose.WINDOW_ROW) * (free_rows + 1)
        left = draw_between(0, 1, index, *key, Purpose.WINDOW_COLUMN) * (free_columns + 1)
        return {
            "top": top.long().where(found, free_rows // 2),
            "left": left.long().where(found, free_columns // 2),
            "height": height,
            "width": width,
        }

    def apply(self, images_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """Stretch the windows, rounded to bytes again."""
        device = images_BHWC.device
        y_BH = _along(drawn["top"], drawn["height"], self.size[0], device)
        x_BW = _along(drawn["left"], drawn["width"], self.size[1], device)
        return read_grid(images_BHWC, y_BH, x_BW).add_(0.5).to(torch.uint8)

    def _try(self, index: Tensor, key: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        scale, ratio = self.knobs.scale, self.knobs.ratio
        area = draw_between(*scale, index, *key, Purpose.WINDOW_AREA)
        area = area * (self.stored[0] * self.stored[1])
        shape = draw_between(log(ratio[0]), log(ratio[1]), index, *key, Purpose.WINDOW_RATIO).exp()
        height, width = (area / shape).sqrt(), (area * shape).sqrt()
        return height.round().clamp(min=1).long(), width.round().clamp(min=1).long()

    def _largest(self) -> Size:
        height, width = self.stored
        low, high = self.knobs.ratio
        shape = min(max(width / height, low), high)
        return min(height, round(width / shape)), min(width, round(height * shape))


def _along(start_B: Tensor, length_B: Tensor, count: int, device: torch.device) -> Tensor:
    """Coordinates, along one axis, of the `count` pixels that a window is stretched to."""
    values_3B = torch.stack([start_B, start_B + length_B - 1, length_B.double() / count]).float()
    start_B1, last_B1, scale_B1 = values_3B.to(device, non_blocking=True)[..., None].unbind()
    at_BX = (torch.arange(count, device=device, dtype=torch.float32) + 0.5) * scale_B1
    return (at_BX - 0.5).clamp(min=0).add(start_B1).minimum(last_B1)


@dataclass(frozen=True)
class Mirror:
    """Mirrors half of the images horizontally."""

    def draw(self, index: Tensor, key: DrawKey) -> Drawn:
        """Draw which images."""
        return {"flip": draw_below(2, index, *key, Purpose.FLIP).bool()}

    def apply(self, images_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """Mirror the images."""
        flip_B111 = per_image(drawn["flip"], images_BHWC)
        return torch.where(flip_B111, images_BHWC.flip(2), images_BHWC)
