"""Images and draws that the augmentations' tests share.

B: batch, C: channels, H, W: height and width.
"""

import torch
from torch import Tensor

KEY = (3, 1, 2)


def pictures(count: int = 6, channels: int = 3, height: int = 17, width: int = 22) -> Tensor:
    """Smooth random uint8 images_BHWC with the whole range of values."""
    generator = torch.Generator().manual_seed(count + channels)
    small = torch.rand(count, channels, 6, 7, generator=generator)
    large = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")
    low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
    return ((large - low) / (high - low) * 255).round().byte().permute(0, 2, 3, 1)


def unit(pixels_BHWC: Tensor) -> Tensor:
    """As floats in [0, 1]."""
    return pixels_BHWC * (1 / 255)


def planes(images_BHWC: Tensor) -> Tensor:
    """Channels first, as torchvision has it."""
    return images_BHWC.permute(0, 3, 1, 2)


def per_image(*values: float) -> Tensor:
    """One value for each image, to be combined with images_BHWC."""
    return torch.tensor(values)[:, None, None, None]
