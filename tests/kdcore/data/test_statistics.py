"""Mean and deviation of pixels: exact, however the images are grouped."""

import dataclasses

import pytest
import torch

from kdcore.data.images import Split
from kdcore.data.statistics import data_statistics, pixel_sums


def make_split(n: int, channels: int, height: int, width: int) -> Split:
    generator = torch.Generator().manual_seed(0)
    shape = (n, channels, height, width)
    return Split(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator), None)


@pytest.mark.parametrize("shape", [(20, 3, 9, 16), (2, 1, 600, 5), (3, 4, 257, 7)])
def test_sums_are_exact(shape: tuple[int, int, int, int]) -> None:
    for images_NCHW in (make_split(*shape).images_NCHW, torch.full(shape, 255).byte()):
        whole_NCHW = images_NCHW.long()
        wanted = torch.stack([whole_NCHW.sum((2, 3)), whole_NCHW.square().sum((2, 3))], -1)
        assert torch.equal(pixel_sums(images_NCHW), wanted)


def test_known_sums_are_used_and_give_the_same() -> None:
    split = make_split(20, 3, 9, 16)
    index_N = torch.tensor([3, 1, 17, 5])
    known = dataclasses.replace(split, sums_NC2=pixel_sums(split.images_NCHW))
    assert data_statistics(known, index_N) == data_statistics(split, index_N)
    doubled = dataclasses.replace(split, sums_NC2=pixel_sums(split.images_NCHW) // 2)
    assert data_statistics(doubled, index_N) != data_statistics(split, index_N)


def test_statistics_are_those_of_the_pixels() -> None:
    split = make_split(20, 3, 9, 16)
    index_N = torch.arange(0, 20, 3)
    mean, std = data_statistics(split, index_N)
    pixels = split.images_NCHW[index_N].double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())


def test_a_constant_channel_can_be_normalised() -> None:
    split = Split(torch.full((2, 1, 4, 4), 51, dtype=torch.uint8), None)
    mean, std = data_statistics(split, torch.arange(2))
    assert mean == pytest.approx((0.2,))
    assert std == (1.0,)
