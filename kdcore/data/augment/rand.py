"""RandAugment (Cubuk et al. 2020): operations of equal strength, drawn per image.

The operations are the paper's fourteen, with torchvision's ranges. Geometric operations are about
the image's centre, bilinear, and fill with black.
"""

# B batch, H height, W width, C channels

from dataclasses import dataclass

import torch
from torch import Tensor

from kdcore.data.augment import colour
from kdcore.data.augment.draws import DrawKey, Drawn, Purpose, draw_between, per_image
from kdcore.data.augment.resample import read_outside
from kdcore.data.counter import draw_below
from kdcore.spec.augment import RandAugment

SHAPES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
FACTORS = {
    "brightness": colour.brightness,
    "contrast": colour.contrast,
    "saturation": colour.saturation,
    "sharpness": colour.sharpness,
}
OPERATIONS = (
    *("identity", "autocontrast", "equalize", "posterize", "solarize"),
    *FACTORS,
    *SHAPES,
)
MOST = 30  # the largest magnitude
MOST_ANGLE = torch.pi / 6
MOST_SHEAR = 0.3
MOST_SHIFT = 150 / 331  # of the side
MOST_FACTOR = 0.9
LOST_BITS = 4


@dataclass(frozen=True)
class RandomOperations:
    """Applies operations one after the other; each image has its own."""

    knobs: RandAugment

    def draw(self, index: Tensor, key: DrawKey) -> Drawn:
        """Draw the operations' numbers, and their strengths in [0, 1] with a sign, in order."""
        low = max(0.0, self.knobs.magnitude - self.knobs.spread) / MOST
        high = min(float(MOST), self.knobs.magnitude + self.knobs.spread) / MOST
        operations, strengths = [], []
        for place in range(self.knobs.operations):
            here = (*key, place)
            operations.append(draw_below(len(OPERATIONS), index, *here, Purpose.OPERATION))
            strength = draw_between(low, high, index, *here, Purpose.MAGNITUDE)
            sign = draw_below(2, index, *here, Purpose.SIGN) * 2 - 1
            strengths.append(strength * sign)
        return {"operation": torch.stack(operations, -1), "strength": torch.stack(strengths, -1)}

    def apply(self, images_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """Change the images, looping over operations rather than images."""
        for place in range(self.knobs.operations):
            operation_B, strength_B = drawn["operation"][:, place], drawn["strength"][:, place]
            images_BHWC = _one_each(images_BHWC, operation_B, strength_B)
        return images_BHWC


def _one_each(images_BHWC: Tensor, operation_B: Tensor, strength_B: Tensor) -> Tensor:
    changed_BHWC = images_BHWC.clone()
    first_shape = OPERATIONS.index(SHAPES[0])
    for number, name in enumerate(OPERATIONS[1 : first_shape + 1], 1):
        chosen_B = operation_B >= number if name in SHAPES else operation_B == number
        row_X = chosen_B.nonzero()[:, 0]
        if not len(row_X):
            continue
        there_X = row_X.to(images_BHWC.device, non_blocking=True)
        own_XHWC, strength_X = images_BHWC[there_X], strength_B[row_X]
        if name in SHAPES:
            new_XHWC = warp(own_XHWC, _matrices(operation_B[row_X] - first_shape, strength_X))
        else:
            new_XHWC = _recolour(name, own_XHWC, strength_X)
        changed_BHWC[there_X] = new_XHWC
    return changed_BHWC


def _recolour(name: str, images_BHWC: Tensor, strength_B: Tensor) -> Tensor:
    size_B = strength_B.abs()
    if name == "autocontrast":
        return colour.autocontrast(images_BHWC)
    if name == "equalize":
        return colour.equalize(images_BHWC)
    if name == "posterize":
        bits_B = 8 - (LOST_BITS * size_B).round()
        return colour.posterize(images_BHWC, per_image(bits_B.float(), images_BHWC))
    if name == "solarize":
        return colour.solarize(images_BHWC, per_image((1 - size_B).float(), images_BHWC))
    factor_B = (1 + MOST_FACTOR * strength_B).float()
    return FACTORS[name](images_BHWC, per_image(factor_B, images_BHWC))


def _matrices(shape_B: Tensor, strength_B: Tensor) -> Tensor:
    """Matrices for `warp` from numbers of SHAPES; shifts are fractions of the side."""
    angle_B = torch.where(shape_B == 0, strength_B * MOST_ANGLE, 0.0)
    shear_B = strength_B * MOST_SHEAR
    shift_B = strength_B * MOST_SHIFT
    cos_B, sin_B = angle_B.cos(), angle_B.sin()
    x_of_y_B = torch.where(shape_B == 1, shear_B, -sin_B)
    y_of_x_B = torch.where(shape_B == 2, shear_B, sin_B)
    x_shift_B = torch.where(shape_B == 3, shift_B, 0.0)
    y_shift_B = torch.where(shape_B == 4, shift_B, 0.0)
    row_x_B3 = torch.stack([cos_B, x_of_y_B, x_shift_B], -1)
    row_y_B3 = torch.stack([y_of_x_B, cos_B, y_shift_B], -1)
    return torch.stack([row_x_B3, row_y_B3], 1)


def warp(images_BHWC: Tensor, matrix_B23: Tensor) -> Tensor:
    """Read each pixel (x, y), counted from the centre, at matrix * (x, y, 1).

    The last column of the matrix is in fractions of the width and the height.
    """
    _, height, width, _ = images_BHWC.shape
    side_21 = torch.tensor([[width], [height]], dtype=matrix_B23.dtype)
    matrix_B23 = torch.cat([matrix_B23[..., :2], matrix_B23[..., 2:] * side_21], -1)
    device = images_BHWC.device
    matrix_B23 = matrix_B23.float().to(device, non_blocking=True)
    centre_y, centre_x = (height - 1) / 2, (width - 1) / 2
    y_H1 = (torch.arange(height, device=device, dtype=torch.float32) - centre_y)[:, None]
    x_1W = (torch.arange(width, device=device, dtype=torch.float32) - centre_x)[None, :]
    xx, xy, x1, yx, yy, y1 = matrix_B23.flatten(1)[:, :, None, None].unbind(1)
    x_BHW = x_1W * xx + y_H1 * xy + x1 + centre_x
    y_BHW = x_1W * yx + y_H1 * yy + y1 + centre_y
    return read_outside(images_BHWC, y_BHW, x_BHW)
