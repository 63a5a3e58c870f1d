"""Resamples batches of images bilinearly, with the same bits on every device.

Every operation below rounds once: nothing is fused, and nothing is summed in an order that a device
chooses.
"""

# B batch, H height, W width, C channels; y, x: coordinates in pixels, 0 the first pixel's centre

import torch
from torch import Tensor
from torch.nn import functional


def read_at(images_BHWC: Tensor, y_BHW: Tensor, x_BHW: Tensor) -> Tensor:
    """Values (float32) at coordinates inside of the images; y and x broadcast."""
    _, height, width, channels = images_BHWC.shape
    y_BHW, row_BHW = _split(y_BHW, height)
    x_BHW, column_BHW = _split(x_BHW, width)
    image_B11 = torch.arange(len(images_BHWC), device=images_BHWC.device)[:, None, None]
    first_BHW = (image_B11 * height + row_BHW) * width + column_BHW
    flat_XC = images_BHWC.reshape(-1, channels)
    upper_BHWC = _interpolate(flat_XC, first_BHW, x_BHW)
    lower_BHWC = _interpolate(flat_XC, first_BHW + width, x_BHW)
    return upper_BHWC.add_(lower_BHWC.sub_(upper_BHWC).mul_(y_BHW[..., None]))


def read_grid(images_BHWC: Tensor, y_BY: Tensor, x_BX: Tensor) -> Tensor:
    """Values (float32) at the crossings of each image's rows y and columns x, inside of the images.

    Like `read_at`, but reads whole rows first, at half the cost.
    """
    batch, height, width, channels = images_BHWC.shape
    y_BY, row_BY = _split(y_BY, height)
    x_BX, column_BX = _split(x_BX, width)
    image_B1 = torch.arange(batch, device=images_BHWC.device)[:, None]
    rows_RX = images_BHWC.reshape(batch * height, width * channels)
    first_BY1 = (image_B1 * height + row_BY)[:, :, None]
    read_BY1X = _interpolate(rows_RX, first_BY1, y_BY[:, :, None])
    line_BY1 = torch.arange(y_BY.numel(), device=y_BY.device).view(*y_BY.shape, 1)
    first_BYX = line_BY1 * width + column_BX[:, None, :]
    weight_BYX = x_BX[:, None, :].expand(first_BYX.shape)
    return _interpolate(read_BY1X.view(-1, channels), first_BYX, weight_BYX)


def read_outside(images_BHWC: Tensor, y_BHW: Tensor, x_BHW: Tensor) -> Tensor:
    """Like `read_at`, but coordinates may lie anywhere; outside of the images is zero."""
    _, height, width, _ = images_BHWC.shape
    padded_BHWC = functional.pad(images_BHWC, (0, 0, 1, 1, 1, 1))
    return read_at(padded_BHWC, y_BHW.clamp(-1, height) + 1, x_BHW.clamp(-1, width) + 1)


def _split(at: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Fraction and whole part of coordinates; there is always a pixel after the whole part."""
    whole = at.floor().clamp(max=length - 2)
    return at - whole, whole.long()


def _interpolate(flat_XC: Tensor, first_BHW: Tensor, weight_BHW: Tensor) -> Tensor:
    """Interpolate between each row of `flat_XC` and the next, in float32."""
    shape = (*first_BHW.shape, flat_XC.shape[1])
    first_X = first_BHW.flatten()
    near_BHWC = flat_XC.index_select(0, first_X).view(shape).float()
    far_BHWC = flat_XC.index_select(0, first_X + 1).view(shape).float()
    return near_BHWC.add_(far_BHWC.sub_(near_BHWC).mul_(weight_BHW[..., None]))
