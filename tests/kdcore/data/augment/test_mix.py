"""Mixup and CutMix: shares from their Beta distribution, partners from all samples."""

import numpy as np
import pytest
import torch

from kdcore.data.augment.mix import Mixer, beta
from kdcore.data.counter import draw_unit
from kdcore.spec.augment import Cutmix, Mixup
from tests.kdcore.data.augment.cases import KEY, pictures, unit

SIZE = (17, 22)
MANY = torch.arange(40_000)
POOL = torch.arange(100, 200)


def mixer(mixup: Mixup | None = None, cutmix: Cutmix | None = None) -> Mixer:
    return Mixer(mixup, cutmix, POOL, SIZE)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 3.0, 32.0])
def test_shares_have_the_distribution_of_numpys_beta(alpha: float) -> None:
    ours = beta(alpha, draw_unit(MANY, 1)).numpy()
    theirs = np.random.default_rng(0).beta(alpha, alpha, 200_000)
    assert ours.min() >= 0 and ours.max() <= 1
    for share in (1e-6, 1e-3, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        assert np.mean(ours < share) == pytest.approx(np.mean(theirs < share), abs=0.012)
    assert ours.mean() == pytest.approx(0.5, abs=0.01)
    assert ours.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_beta_of_1_is_uniform() -> None:
    unit_N = draw_unit(MANY, 2)
    assert torch.allclose(beta(1.0, unit_N), unit_N, atol=1e-12)


def test_a_blend_is_the_weighted_mean() -> None:
    mix = mixer(Mixup(alpha=1))
    images_BHWC, partners_BHWC = unit(pictures(6)), unit(pictures(7))[:6]
    drawn = mix.draw(torch.arange(6), KEY)
    share_B111 = drawn["share"][:, None, None, None]
    assert float(drawn["share"].min()) > 0 and float(drawn["share"].max()) < 1
    wanted_BHWC = images_BHWC * share_B111 + partners_BHWC * (1 - share_B111)
    assert torch.equal(mix.apply(images_BHWC, partners_BHWC, drawn), wanted_BHWC)


def test_a_rectangle_shows_the_partner_and_its_area_is_the_partners_share() -> None:
    mix = mixer(cutmix=Cutmix())
    drawn = mix.draw(torch.arange(400), KEY)
    images_BHWC, partners_BHWC = torch.zeros(400, *SIZE, 3), torch.ones(400, *SIZE, 3)
    mixed_BHWC = mix.apply(images_BHWC, partners_BHWC, drawn)
    assert set(mixed_BHWC.flatten().tolist()) == {0.0, 1.0}
    assert torch.allclose(1 - mixed_BHWC.mean((1, 2, 3)), drawn["share"], atol=1e-6)
    for index in range(400):
        top, bottom, left, right = (
            int(drawn[name][index]) for name in ("top", "bottom", "left", "right")
        )
        assert bool((mixed_BHWC[index, top:bottom, left:right] == 1).all())


def test_a_rectangle_away_from_the_border_has_the_drawn_area_and_the_images_shape() -> None:
    size = (100, 200)
    drawn = Mixer(None, Cutmix(), POOL, size).draw(MANY, KEY)
    height, width = drawn["bottom"] - drawn["top"], drawn["right"] - drawn["left"]
    inside = (drawn["top"] > 0) & (drawn["left"] > 0) & (drawn["bottom"] < 100)
    inside &= (drawn["right"] < 200) & (height > 0)
    assert int(inside.sum()) > 1000
    assert float((width - 2 * height)[inside].abs().max()) <= 3


def test_partners_are_any_of_the_training_samples() -> None:
    partner_N = mixer(Mixup()).partner(MANY, KEY)
    counts = torch.bincount(partner_N)
    assert set(partner_N.tolist()) == set(POOL.tolist())
    assert int(counts[100:].min()) > 300 and int(counts.max()) < 500


def test_only_a_fraction_of_the_images_is_mixed() -> None:
    for mix in (mixer(Mixup(alpha=1, probability=0.3)), mixer(None, Cutmix(probability=0.3))):
        share_N = mix.draw(MANY, KEY)["share"]
        assert float((share_N < 1).double().mean()) == pytest.approx(0.3, abs=0.015)


def test_together_each_gets_half_of_the_images() -> None:
    mix = mixer(Mixup(alpha=1), Cutmix())
    drawn = mix.draw(MANY, KEY)
    assert float(drawn["cut"].double().mean()) == pytest.approx(0.5, abs=0.01)
    has_box = drawn["bottom"] > drawn["top"]
    assert not bool((has_box & ~drawn["cut"]).any())
    images_BHWC, partners_BHWC = torch.zeros(50, *SIZE, 1), torch.ones(50, *SIZE, 1)
    some = {name: values[:50] for name, values in drawn.items()}
    mixed_BHWC = mix.apply(images_BHWC, partners_BHWC, some)
    assert torch.allclose(1 - mixed_BHWC.mean((1, 2, 3)), some["share"], atol=1e-6)
