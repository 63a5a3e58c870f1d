"""RandAugment: operations are equally likely, of the given strength, and do what they should."""

import math

import pytest
import torch

import kdcore.networks.shim  # noqa: F401 -- before torchvision
from kdcore.data.augment import colour, rand
from kdcore.data.augment.rand import OPERATIONS, SHAPES, RandomOperations, warp
from kdcore.spec.augment import RandAugment
from tests.kdcore.data.augment.cases import KEY, per_image, pictures, planes, unit

functional = pytest.importorskip("torchvision.transforms.v2.functional")


def draw_one(name: str, strength: float, count: int = 6) -> dict[str, torch.Tensor]:
    """As drawn, when it is this operation that all images get."""
    return {
        "operation": torch.full((count, 1), OPERATIONS.index(name)),
        "strength": torch.full((count, 1), strength, dtype=torch.float64),
    }


ONE = RandomOperations(RandAugment(operations=1))


def test_there_are_the_papers_operations() -> None:
    assert len(OPERATIONS) == len(set(OPERATIONS)) == 14


def test_every_operation_is_equally_likely_and_independent() -> None:
    drawn = RandomOperations(RandAugment(operations=2)).draw(torch.arange(28_000), KEY)
    assert drawn["operation"].shape == (28_000, 2)
    for place in range(2):
        counts = torch.bincount(drawn["operation"][:, place], minlength=14)
        assert int(counts.min()) > 1800 and int(counts.max()) < 2200
    equal = (drawn["operation"][:, 0] == drawn["operation"][:, 1]).double().mean()
    assert float(equal) == pytest.approx(1 / 14, abs=0.01)


@pytest.mark.parametrize(
    ("magnitude", "spread", "low", "high"), [(9, 0, 9, 9), (9, 3, 6, 12), (28, 5, 23, 30)]
)
def test_strengths_are_in_their_range_with_both_signs(
    magnitude: float, spread: float, low: float, high: float
) -> None:
    knobs = RandAugment(magnitude=magnitude, spread=spread)
    strength = RandomOperations(knobs).draw(torch.arange(20_000), KEY)["strength"] * 30
    assert low - 1e-9 <= float(strength.abs().min()) <= low + 0.01
    assert high - 0.01 <= float(strength.abs().max()) <= high + 1e-9
    assert float((strength > 0).double().mean()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("strength", [0.7, -0.7])
@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_torchvisions(name: str, strength: float) -> None:
    images_BHWC = unit(pictures())
    angle, shift, shear = 0.0, [0.0, 0.0], [0.0, 0.0]
    size = [images_BHWC.shape[2], images_BHWC.shape[1]]
    if name == "rotate":
        angle = -30 * strength
    elif name.startswith("translate"):
        axis = "xy".index(name[-1])
        # Theirs shifts by whole pixels: ours is compared where it does too.
        pixels = -round(size[axis] * strength * 150 / 331)
        shift[axis] = pixels
        strength = -pixels / size[axis] / (150 / 331)
    else:
        shear["xy".index(name[-1])] = math.degrees(math.atan(0.3 * strength))
    wanted_BCHW = functional.affine(
        planes(images_BHWC),
        angle,
        shift,
        1.0,
        shear,
        interpolation=functional.InterpolationMode.BILINEAR,
        fill=None,
    )
    changed_BHWC = ONE.apply(images_BHWC, draw_one(name, strength))
    assert torch.allclose(planes(changed_BHWC), wanted_BCHW, atol=1e-4)


def test_the_identity_warp_is_the_image_itself() -> None:
    images_BHWC = unit(pictures())
    same_B23 = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).expand(6, 2, 3)
    assert torch.equal(warp(images_BHWC, same_B23), images_BHWC)


def test_colours_have_the_ranges_of_the_paper() -> None:
    images_BHWC = unit(pictures())
    halves = per_image(*[0.5] * 6)
    wanted = {
        "identity": images_BHWC,
        "autocontrast": colour.autocontrast(images_BHWC),
        "equalize": colour.equalize(images_BHWC),
        "posterize": colour.posterize(images_BHWC, per_image(*[6.0] * 6)),
        "solarize": colour.solarize(images_BHWC, halves),
        "brightness": colour.brightness(images_BHWC, per_image(*[1 - 0.45] * 6)),
        "contrast": colour.contrast(images_BHWC, per_image(*[1 - 0.45] * 6)),
        "saturation": colour.saturation(images_BHWC, per_image(*[1 - 0.45] * 6)),
        "sharpness": colour.sharpness(images_BHWC, per_image(*[1 - 0.45] * 6)),
    }
    assert set(wanted) == set(OPERATIONS) - set(SHAPES)
    for name, wanted_BHWC in wanted.items():
        assert torch.equal(ONE.apply(images_BHWC, draw_one(name, -0.5)), wanted_BHWC), name


def test_every_image_gets_its_own_operations_one_after_the_other() -> None:
    two = RandomOperations(RandAugment(operations=2, spread=9))
    count = 60
    images_BHWC = unit(pictures(count))
    drawn = two.draw(torch.arange(count), KEY)
    together_BHWC = two.apply(images_BHWC, drawn)
    for index in range(count):
        image_1HWC = images_BHWC[index][None]
        for place in range(2):
            one = {name: rows[index, place].view(1, 1) for name, rows in drawn.items()}
            image_1HWC = ONE.apply(image_1HWC, one)
        assert torch.equal(together_BHWC[index], image_1HWC[0])


def test_at_zero_strength_nothing_moves() -> None:
    images_BHWC = unit(pictures())
    for name in (*SHAPES, *rand.FACTORS):
        changed_BHWC = ONE.apply(images_BHWC, draw_one(name, 0.0))
        assert torch.allclose(changed_BHWC, images_BHWC, atol=1e-6), name
