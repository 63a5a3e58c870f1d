"""Cutout: fills a random square of each image with one value."""

# B batch, H height, W width, C channels

from dataclasses import dataclass

import torch
from torch import Tensor

from kdcore.data.augment.draws import DrawKey, Drawn, Purpose
from kdcore.data.counter import draw_below, draw_unit
from kdcore.data.images import Size
from kdcore.spec.augment import Cutout


@dataclass(frozen=True)
class Patch:
    """Fills a square around a random pixel (DeVries & Taylor 2017, section 3.2)."""

    knobs: Cutout
    size: Size

    def draw(self, index: Tensor, key: DrawKey) -> Drawn:
        """Draw the square's bounds, which may lie outside of the image; empty if it has none."""
        side = max(1, round(self.knobs.size * min(self.size)))
        chosen = draw_unit(index, *key, Purpose.CUTOUT) < self.knobs.probability
        top = draw_below(self.size[0], index, *key, Purpose.CUTOUT_ROW) - side // 2
        left = draw_below(self.size[1], index, *key, Purpose.CUTOUT_COLUMN) - side // 2
        end = chosen * side
        return {"top": top, "bottom": top + end, "left": left, "right": left + end}

    def apply(self, images_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """Fill the squares."""
        inside_BHW1 = inside(drawn, self.size, images_BHWC.device)
        return images_BHWC.masked_fill(inside_BHW1, self.knobs.fill)


def inside(box: Drawn, size: Size, device: torch.device) -> Tensor:
    """Whether top <= row < bottom and left <= column < right; broadcasts over channels."""
    (top, bottom, left, right) = (
        box[name].to(device, non_blocking=True)[:, None, None, None]
        for name in ("top", "bottom", "left", "right")
    )
    row_H11 = torch.arange(size[0], device=device)[:, None, None]
    column_W1 = torch.arange(size[1], device=device)[:, None]
    return (row_H11 >= top) & (row_H11 < bottom) & (column_W1 >= left) & (column_W1 < right)
