"""Similarity preserving: which samples are alike, whatever the maps are."""

import pytest
import torch

from kdcore.methods.sp import Sp, similarity_loss
from kdcore.spec.knobs.relations import SpKnobs
from tests.kdcore.methods.pairs import (
    BATCH,
    HALVES,
    assert_finite,
    assert_weighted,
    between,
    passes,
    random,
    refusal,
    rotated,
)


def _maps(x_BC: torch.Tensor) -> torch.Tensor:
    return x_BC[:, :, None, None]


def test_alike_samples_against_unlike_ones() -> None:
    """Rows (1, 1)/sqrt 2 against (1, 0) and (0, 1): four squares, divided by B^2."""
    alike, unlike = torch.ones(2, 2), torch.eye(2)
    root = 0.5**0.5
    expected = (2 * (1 - root) ** 2 + 2 * root**2) / 4
    assert similarity_loss(_maps(alike), _maps(unlike)).item() == pytest.approx(expected, rel=1e-5)


def test_turning_and_scaling_all_samples_does_not_count() -> None:
    t_BC = random(6, 5)
    assert similarity_loss(_maps(3 * rotated(t_BC)), _maps(t_BC)).item() == pytest.approx(
        0, abs=1e-10
    )
    assert similarity_loss(_maps(random(6, 5, seed=1)), _maps(t_BC)).item() > 0.01


def test_channels_and_sizes_may_differ() -> None:
    """The same values in another shape are equally similar."""
    t_BCHW = random(6, 4, 4, 2)
    assert similarity_loss(t_BCHW.reshape(6, 8, 2, 2), t_BCHW).item() == pytest.approx(0, abs=1e-10)


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((3, 8, 4, 4), 6e4, dtype=dtype, requires_grad=True)
    assert_finite(similarity_loss(huge_BCHW, random(3, 8, 4, 4).to(dtype)), huge_BCHW)


def test_a_silent_sample_has_a_finite_gradient() -> None:
    silent_BCHW = torch.zeros(3, 2, 2, 2, requires_grad=True)
    assert_finite(similarity_loss(silent_BCHW, random(3, 2, 2, 2)), silent_BCHW)


def test_the_deepest_level_by_default_and_more_if_wanted() -> None:
    for levels in (1, 2):
        method = Sp(SpKnobs(levels=levels), between())
        student, (teacher,) = passes(method)
        pairs = zip(student.features.values(), teacher.features.values(), strict=True)
        losses = [similarity_loss(s, t) for s, t in pairs]
        assert [x.shape[2] for x in student.features.values()] == [8, 4][-levels:]
        torch.testing.assert_close(
            method(student, [teacher], BATCH), {"sp": torch.stack(losses).sum()}
        )


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Sp(SpKnobs(), context))


def test_one_sample_has_nothing_to_be_like() -> None:
    error = refusal(lambda: Sp(SpKnobs(), between(batch_size=1)))
    assert error.code == "batch_too_small" and "needs at least 2, not 1" in error.message


def test_a_wrong_tap_points_at_its_knob() -> None:
    knobs = SpKnobs.model_validate({"teacher_taps": ({"module": "layer9"},)})
    error = refusal(lambda: Sp(knobs, between()))
    assert (error.code, error.pointer) == ("tap_not_found", "/teacher_taps/0")
