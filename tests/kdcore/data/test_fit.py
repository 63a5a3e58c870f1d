"""Sizes: stretched, shrunk and cut as torchvision does it, padded."""

import pytest
import torch

import kdcore.networks.shim  # noqa: F401 -- before torchvision
from kdcore.data.fit import Fit, cover
from kdcore.runtime.errors import RunError

functional = pytest.importorskip("torchvision.transforms.v2.functional")


def smooth(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height)
    small = torch.rand(2, 3, 5, 6, generator=generator) * 255
    images = torch.nn.functional.interpolate(small, (height, width), mode="bilinear")
    return images.byte().contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(40, 61), (61, 40), (32, 32), (30, 90), (20, 28)])
def test_the_centre_read_is_resize_and_centre_crop(size: tuple[int, int]) -> None:
    """Up to a pixel where the margins are odd, so sides are chosen even."""
    fit, images_NCHW = Fit((28, 28), 32), smooth(*size)
    stored_NCHW = fit.apply(images_NCHW)
    assert fit.stored(size) == stored_NCHW.shape[2:] == (32, 32)
    assert fit.read() == (28, 28)
    resized_NCHW = functional.resize(images_NCHW, [32], antialias=True)
    wanted_NCHW = functional.center_crop(resized_NCHW, [32, 32])
    difference = (stored_NCHW.int() - wanted_NCHW.int()).abs()
    odd = (max(resized_NCHW.shape[2:]) - 32) % 2
    assert int(difference.max()) <= 1 or odd


def test_what_is_not_square_is_covered() -> None:
    assert Fit((20, 40), 30).stored((100, 100)) == (30, 60)
    for size in ((7, 200), (200, 7), (33, 50)):
        assert cover(smooth(*size), (30, 60)).shape[2:] == (30, 60)


def test_an_image_that_covers_the_size_is_only_cropped() -> None:
    images_NCHW = smooth(32, 50)
    assert torch.equal(cover(images_NCHW, (32, 32)), images_NCHW[:, :, :, 9:41])


def test_stretching_and_padding_follow_each_other() -> None:
    fit = Fit((10, 12), pad_to=(16, 16))
    assert fit.stored((99, 98)) == fit.apply(smooth(20, 24)).shape[2:] == (16, 16)
    assert Fit().stored((9, 8)) == (9, 8) and Fit().read() is None
    with pytest.raises(RunError) as caught:
        Fit((10, 12), pad_to=(8, 16)).stored((9, 9))
    assert caught.value.code == "bad_pad"
