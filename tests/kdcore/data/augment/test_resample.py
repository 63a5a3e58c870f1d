"""Bilinear reading: against torch's own, and along both ways to do it."""

import torch
from torch.nn import functional

from kdcore.data.augment.resample import read_at, read_grid, read_outside
from tests.kdcore.data.augment.cases import pictures, planes, unit

B, H, W = 6, 17, 22


def test_values_between_pixels_are_torchs() -> None:
    images_BHWC = unit(pictures(B, 3, H, W))
    generator = torch.Generator().manual_seed(0)
    y_BHW, x_BHW = (torch.rand(B, 5, 8, generator=generator) * (side + 5) - 3 for side in (H, W))
    grid_BHW2 = torch.stack([(x_BHW * 2 + 1) / W - 1, (y_BHW * 2 + 1) / H - 1], -1)
    wanted_BCHW = functional.grid_sample(planes(images_BHWC), grid_BHW2, align_corners=False)
    assert torch.allclose(planes(read_outside(images_BHWC, y_BHW, x_BHW)), wanted_BCHW, atol=1e-5)


def test_whole_coordinates_are_the_pixels_themselves_to_the_last() -> None:
    pixels_BHWC = pictures(B, 3, H, W)
    y_BH, x_BW = torch.arange(H).expand(B, H).float(), torch.arange(W).expand(B, W).float()
    assert torch.equal(read_grid(pixels_BHWC, y_BH, x_BW), pixels_BHWC.float())


def test_a_grid_is_read_as_points_are() -> None:
    pixels_BHWC = pictures(B, 2, H, W)
    generator = torch.Generator().manual_seed(1)
    y_BY = torch.rand(B, 9, generator=generator) * (H - 1)
    x_BX = torch.rand(B, 7, generator=generator) * (W - 1)
    points = read_at(
        pixels_BHWC, y_BY[:, :, None].expand(B, 9, 7), x_BX[:, None, :].expand(B, 9, 7)
    )
    assert torch.allclose(read_grid(pixels_BHWC, y_BY, x_BX), points, atol=1e-3)
