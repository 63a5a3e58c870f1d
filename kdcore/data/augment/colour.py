"""Changes colours, with a factor or strength per image and any number of channels.

Images are float32 in [0, 1]. Sums over an image add whole numbers, so that they do not depend on
the batch.
"""

# B batch, H height, W width, C channels

from dataclasses import dataclass

import torch
from torch import Tensor

from kdcore.data.augment.draws import DrawKey, Drawn, Purpose, draw_between, per_image
from kdcore.spec.augment import ColourJitter

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: red, green, blue to grey
LEVELS = 256


def brightness(images_BHWC: Tensor, factor_B111: Tensor) -> Tensor:
    """Multiply by the factor; 0 gives black."""
    return (images_BHWC * factor_B111).clamp(0, 1)


def contrast(images_BHWC: Tensor, factor_B111: Tensor) -> Tensor:
    """Scale the distance from the image's mean grey by the factor; 0 gives the mean everywhere."""
    levels_BHWC = to_levels(grey(images_BHWC)).long()
    count = levels_BHWC[0].numel()
    mean_B111 = levels_BHWC.sum((1, 2, 3), keepdim=True).float() * (1 / (count * (LEVELS - 1)))
    return _scale_from(images_BHWC, mean_B111, factor_B111)


def saturation(images_BHWC: Tensor, factor_B111: Tensor) -> Tensor:
    """Scale the distance from each pixel's grey by the factor; grey images do not change."""
    if images_BHWC.shape[3] != 3:
        return images_BHWC
    return _scale_from(images_BHWC, grey(images_BHWC), factor_B111)


def sharpness(images_BHWC: Tensor, factor_B111: Tensor) -> Tensor:
    """Scale the distance from the smoothed image by the factor.

    Smoothing is a 3x3 mean in which the centre counts five times; border pixels do not change.
    """
    _, height, width, _ = images_BHWC.shape
    rows, columns = slice(1, height - 1), slice(1, width - 1)
    total_BHWC = images_BHWC[:, rows, columns] * 4
    for top in range(3):
        for left in range(3):
            near_BHWC = images_BHWC[:, top : top + height - 2, left : left + width - 2]
            total_BHWC = total_BHWC + near_BHWC
    smooth_BHWC = images_BHWC.clone()
    smooth_BHWC[:, rows, columns] = total_BHWC * (1 / 13)
    return _scale_from(images_BHWC, smooth_BHWC, factor_B111)


def posterize(images_BHWC: Tensor, bits_B111: Tensor) -> Tensor:
    """Keep the upper `bits` of 8 bits."""
    step_B111 = 2.0 ** (8 - bits_B111)
    return ((to_levels(images_BHWC) / step_B111).floor() * step_B111) * (1 / (LEVELS - 1))


def solarize(images_BHWC: Tensor, threshold_B111: Tensor) -> Tensor:
    """Invert the values that are not below the threshold."""
    return torch.where(images_BHWC >= threshold_B111, 1 - images_BHWC, images_BHWC)


def autocontrast(images_BHWC: Tensor) -> Tensor:
    """Stretch each channel to [0, 1]; a constant channel does not change."""
    low_B11C = images_BHWC.amin((1, 2), keepdim=True)
    range_B11C = images_BHWC.amax((1, 2), keepdim=True) - low_B11C
    flat_B11C = range_B11C == 0
    scale_B11C = 1 / torch.where(flat_B11C, 1.0, range_B11C)
    stretched_BHWC = ((images_BHWC - low_B11C) * scale_B11C).clamp(0, 1)
    return torch.where(flat_B11C, images_BHWC, stretched_BHWC)


def equalize(images_BHWC: Tensor) -> Tensor:
    """Equalise each channel's histogram of 256 levels, as Pillow does."""
    batch, height, width, channels = images_BHWC.shape
    levels_BHWC = to_levels(images_BHWC).long()
    table = torch.arange(batch * channels, device=images_BHWC.device).view(batch, 1, 1, channels)
    place = (levels_BHWC + table * LEVELS).flatten()
    counts_XL = torch.bincount(place, minlength=batch * channels * LEVELS).view(-1, LEVELS)
    last_X1 = torch.arange(LEVELS, device=place.device).mul(counts_XL > 0).amax(1, keepdim=True)
    step_X1 = (height * width - counts_XL.gather(1, last_X1)) // (LEVELS - 1)
    before_XL = counts_XL.cumsum(1) - counts_XL
    even_XL = (before_XL + step_X1 // 2) // step_X1.clamp(min=1)
    even_XL = torch.where(step_X1 == 0, torch.arange(LEVELS, device=place.device), even_XL)
    chosen = even_XL.clamp(max=LEVELS - 1).flatten()[place].view(levels_BHWC.shape)
    return chosen.float() * (1 / (LEVELS - 1))


def grey(images_BHWC: Tensor) -> Tensor:
    """The luma of three channels; otherwise the channels themselves."""
    if images_BHWC.shape[3] != 3:
        return images_BHWC
    red, green, blue = torch.split(images_BHWC, 1, dim=3)
    return red * LUMA[0] + green * LUMA[1] + blue * LUMA[2]


def to_levels(images_BHWC: Tensor) -> Tensor:
    """Round to the nearest of 0 to 255, as float."""
    return (images_BHWC * (LEVELS - 1) + 0.5).floor()


def _scale_from(images_BHWC: Tensor, base: Tensor, factor_B111: Tensor) -> Tensor:
    return (images_BHWC * factor_B111 + base * (1 - factor_B111)).clamp(0, 1)


@dataclass(frozen=True)
class Jitter:
    """Changes brightness, contrast and saturation by random factors.

    Unlike in common implementations, the order is fixed, not random.
    """

    knobs: ColourJitter

    def draw(self, index: Tensor, key: DrawKey) -> Drawn:
        """Draw the factors."""
        ranges = {
            "brightness": (self.knobs.brightness, Purpose.BRIGHTNESS),
            "contrast": (self.knobs.contrast, Purpose.CONTRAST),
            "saturation": (self.knobs.saturation, Purpose.SATURATION),
        }
        return {
            name: draw_between(1 - most, 1 + most, index, *key, purpose).float()
            for name, (most, purpose) in ranges.items()
            if most > 0
        }

    def apply(self, images_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """Change the images."""
        for change in (brightness, contrast, saturation):
            if (factor_B := drawn.get(change.__name__)) is not None:
                images_BHWC = change(images_BHWC, per_image(factor_B, images_BHWC))
        return images_BHWC
