"""Cutout: a square of the given size, anywhere, clipped at the borders."""

import pytest
import torch

from kdcore.data.augment.cutout import Patch
from kdcore.spec.augment import Cutout
from tests.kdcore.data.augment.cases import KEY, pictures, unit


@pytest.mark.parametrize(("size", "side"), [(0.5, 8), (0.01, 1), (1.0, 17)])
def test_the_square_has_its_side_and_value_and_the_rest_does_not_change(
    size: float, side: int
) -> None:
    patch = Patch(Cutout(size=size, fill=0.25), (17, 22))
    images_BHWC = unit(pictures(300)) * 0.1 + 0.5
    drawn = patch.draw(torch.arange(300), KEY)
    painted_BHWC = patch.apply(images_BHWC, drawn)
    whole = 0
    for index in range(300):
        top, left = int(drawn["top"][index]), int(drawn["left"][index])
        wanted_HWC = images_BHWC[index].clone()
        wanted_HWC[max(0, top) : top + side, max(0, left) : left + side] = 0.25
        assert torch.equal(painted_BHWC[index], wanted_HWC)
        whole += int((painted_BHWC[index] == 0.25).sum()) == side * side * 3
    assert whole < 300 or side == 1


def test_its_centre_is_any_pixel() -> None:
    drawn = Patch(Cutout(size=0.5), (17, 22)).draw(torch.arange(20_000), KEY)
    assert set((drawn["top"] + 4).tolist()) == set(range(17))
    assert set((drawn["left"] + 4).tolist()) == set(range(22))
    assert float((drawn["top"] + 4).double().mean()) == pytest.approx(8, abs=0.2)


def test_only_a_fraction_of_the_images_has_one() -> None:
    patch = Patch(Cutout(probability=0.25), (17, 22))
    drawn = patch.draw(torch.arange(20_000), KEY)
    has = drawn["bottom"] > drawn["top"]
    assert float(has.double().mean()) == pytest.approx(0.25, abs=0.01)
    images_BHWC = unit(pictures(50))
    some = {name: values[:50] for name, values in drawn.items()}
    painted_BHWC = patch.apply(images_BHWC, some)
    assert torch.equal(painted_BHWC[~has[:50]], images_BHWC[~has[:50]])
