"""Computes mean and deviation of pixels, exactly, from integer sums of each image."""

# B batch, N samples, C channels, H height, W width; 2: sum of the values, sum of their squares

import torch
from torch import Tensor

from kdcore.data.images import Split

ROWS = 256  # 256 squares of bytes sum to less than 2^24: exact in float32 in any order
IMAGES = 16  # processed at a time


def pixel_sums(images_NCHW: Tensor) -> Tensor:
    """Sums of each channel of each image, sums_NC2 (int64)."""
    # Filled in place: small results between large temporaries would fragment the heap.
    sums_NC2 = torch.empty((*images_NCHW.shape[:2], 2), dtype=torch.int64)
    for start in range(0, len(images_NCHW), IMAGES):
        sums_NC2[start : start + IMAGES] = _sums(images_NCHW[start : start + IMAGES])
    return sums_NC2


def _sums(images_BCHW: Tensor) -> Tensor:
    totals = []
    for rows_BCHW in torch.split(images_BCHW, ROWS, dim=2):
        rows_BHWC = rows_BCHW.permute(0, 2, 3, 1).float()
        both_BWC2 = torch.stack([rows_BHWC.sum(1), rows_BHWC.square().sum(1)], -1)
        totals.append(both_BWC2.long().sum(1))
    return torch.stack(totals).sum(0)


def data_statistics(split: Split, indices: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, for pixels in [0, 1], of the samples at `indices`.

    A constant channel gets the deviation 1.
    """
    if split.sums_NC2 is not None:
        total_C2 = split.sums_NC2[indices].sum(0)
    else:
        total_C2 = torch.zeros((split.images_NCHW.shape[1], 2), dtype=torch.int64)
        for index_B in torch.split(indices, IMAGES):
            total_C2 += _sums(split.images_NCHW[index_B]).sum(0)
    pixels = len(indices) * split.images_NCHW[0, 0].numel()
    total, squares = total_C2.unbind(-1)
    mean = total.double() / pixels
    variance = (squares.double() / pixels - mean.square()).clamp(min=0)
    std = torch.where(variance > 0, variance.sqrt() / 255, 1.0)
    return tuple((mean / 255).tolist()), tuple(std.tolist())
