"""Colours change as in torchvision, each image by its own factor."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import kdcore.networks.shim  # noqa: F401 -- before torchvision
from kdcore.data.augment import colour
from kdcore.spec.augment import ColourJitter
from tests.kdcore.data.augment.cases import KEY, per_image, pictures, planes, unit

functional = pytest.importorskip("torchvision.transforms.v2.functional")

FACTORS = (0.0, 0.3, 1.0, 1.7)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (colour.brightness, "adjust_brightness"),
        (colour.contrast, "adjust_contrast"),
        (colour.saturation, "adjust_saturation"),
        (colour.sharpness, "adjust_sharpness"),
    ],
)
def test_factors_are_torchvisions(
    ours: Callable[[Tensor, Tensor], Tensor], name: str, channels: int
) -> None:
    images_BHWC = unit(pictures(len(FACTORS), channels))
    changed_BHWC = ours(images_BHWC, per_image(*FACTORS))
    for factor, before_HWC, after_HWC in zip(FACTORS, images_BHWC, changed_BHWC, strict=True):
        wanted_CHW = getattr(functional, name)(planes(before_HWC[None])[0], factor)
        # Theirs has luma 0.2989, ours rounds the grey mean to levels.
        assert torch.allclose(planes(after_HWC[None])[0], wanted_CHW, atol=3e-3)


def test_posterize_solarize_and_equalize_are_torchvisions_on_bytes() -> None:
    pixels_BHWC = pictures(4)
    pixels_BHWC[3] = 77  # constant: equalize leaves it
    pixels_BHWC[2, ..., 0] = pixels_BHWC[2, ..., 0] // 32 * 32  # few levels
    images_BHWC = unit(pixels_BHWC)

    def check(changed_BHWC: Tensor, wanted_BCHW: Tensor) -> None:
        assert torch.equal((planes(changed_BHWC) * 255).round().byte(), wanted_BCHW)

    inputs_BCHW = planes(pixels_BHWC)
    for bits in (8, 6, 4):
        check(
            colour.posterize(images_BHWC, per_image(*[bits] * 4)),
            functional.posterize(inputs_BCHW, bits),
        )
    for threshold in (0, 100, 255):
        check(
            colour.solarize(images_BHWC, per_image(*[(threshold - 0.25) / 255] * 4)),
            functional.solarize(inputs_BCHW, threshold),
        )
    check(colour.equalize(images_BHWC), functional.equalize(inputs_BCHW))
    wanted_BCHW = functional.autocontrast(inputs_BCHW.float() / 255)
    assert torch.allclose(planes(colour.autocontrast(images_BHWC)), wanted_BCHW, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_stays_in_range(channels: int) -> None:
    images_BHWC = unit(pictures(2, channels))
    factor = per_image(1.9, 0.1)
    for change in (colour.brightness, colour.contrast, colour.saturation, colour.sharpness):
        changed_BHWC = change(images_BHWC, factor)
        assert changed_BHWC.shape == images_BHWC.shape
        assert float(changed_BHWC.min()) >= 0 and float(changed_BHWC.max()) <= 1
    assert colour.autocontrast(images_BHWC).shape == images_BHWC.shape
    assert colour.equalize(images_BHWC).shape == images_BHWC.shape


def test_jitter_draws_factors_evenly_and_skips_those_that_are_0() -> None:
    drawn = colour.Jitter(ColourJitter(brightness=0.4, contrast=0.2, saturation=0)).draw(
        torch.arange(20_000), KEY
    )
    assert set(drawn) == {"brightness", "contrast"}
    for name, most in (("brightness", 0.4), ("contrast", 0.2)):
        factors = drawn[name]
        assert 1 - most < float(factors.min()) < 1 - 0.99 * most
        assert 1 + 0.99 * most < float(factors.max()) < 1 + most
        assert float(factors.mean()) == pytest.approx(1, abs=0.01)
    assert abs(float(torch.corrcoef(torch.stack(list(drawn.values())))[0, 1])) < 0.05


def test_jitter_is_brightness_then_contrast_then_saturation() -> None:
    jitter, images_BHWC = colour.Jitter(ColourJitter()), unit(pictures(3))
    drawn = jitter.draw(torch.arange(3), KEY)
    wanted_BHWC = images_BHWC
    for change in (colour.brightness, colour.contrast, colour.saturation):
        wanted_BHWC = change(wanted_BHWC, drawn[change.__name__][:, None, None, None])
    assert torch.equal(jitter.apply(images_BHWC, drawn), wanted_BHWC)
