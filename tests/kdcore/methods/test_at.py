"""Attention transfer: what of a map counts, and which maps can be compared."""

import pytest
import torch
from torch import nn

from kdcore.methods.at import At, attention_loss
from kdcore.spec.knobs.maps import AtKnobs
from tests.kdcore.methods.pairs import (
    BATCH,
    HALVES,
    assert_finite,
    assert_weighted,
    between,
    passes,
    random,
    refusal,
)

HEAD = {"student_taps": ({"module": "head"},)}


def test_a_positive_scale_of_a_map_or_its_signs_do_not_count() -> None:
    s_BCHW, t_BCHW = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    assert attention_loss(-5 * t_BCHW, t_BCHW).item() == pytest.approx(0, abs=1e-10)
    loss = attention_loss(s_BCHW, t_BCHW)
    assert loss.item() > 1e-3
    torch.testing.assert_close(attention_loss(3 * s_BCHW, 0.2 * t_BCHW), loss)


@pytest.mark.parametrize(("values", "power"), [((3.0, 4.0), 1.0), ((3.0**0.5, 2.0), 2.0)])
def test_it_is_the_mean_square_between_attentions_of_length_one(
    values: tuple[float, float], power: float
) -> None:
    """Both have the attention (3, 4) / 5, against (1, 0): (0.4^2 + 0.8^2) / 2."""
    s_BCHW = torch.tensor(values).view(1, 1, 1, 2)
    t_BCHW = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    assert attention_loss(s_BCHW, t_BCHW, power).item() == pytest.approx(0.4, rel=1e-6)


def test_channel_counts_may_differ_and_the_larger_map_is_pooled() -> None:
    s_BCHW = random(2, 1, 4, 2).abs()
    t_BCHW = nn.functional.interpolate(s_BCHW, (8, 4), mode="nearest").expand(2, 5, 8, 4)
    assert attention_loss(s_BCHW, t_BCHW).item() == pytest.approx(0, abs=1e-10)


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((2, 3, 4, 4), 6e4, dtype=dtype, requires_grad=True)
    assert_finite(attention_loss(huge_BCHW, random(2, 3, 4, 4).to(dtype)), huge_BCHW)


@pytest.mark.parametrize("scale", [1e-3, 6e4])
def test_a_scale_does_not_count_at_the_highest_power_either(scale: float) -> None:
    """The eighth power of what half precision can hold is beyond float32."""
    s_BCHW, t_BCHW = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    scaled_BCHW = (scale * s_BCHW).requires_grad_()
    loss = attention_loss(scaled_BCHW, t_BCHW, 8.0)
    torch.testing.assert_close(loss, attention_loss(s_BCHW, t_BCHW, 8.0))
    assert_finite(loss, scaled_BCHW)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 8.0])
def test_a_silent_map_has_a_finite_gradient_at_every_power(power: float) -> None:
    """Behind a ReLU many values are exactly 0."""
    silent_BCHW = torch.zeros(2, 3, 4, 4, requires_grad=True)
    assert_finite(attention_loss(silent_BCHW, random(2, 3, 4, 4), power), silent_BCHW)
    half_BCHW = random(2, 3, 4, 4).relu().requires_grad_()
    assert_finite(attention_loss(half_BCHW, random(2, 3, 4, 4, seed=1), power), half_BCHW)


def test_levels_are_summed() -> None:
    method = At(AtKnobs(power=3.0), between())
    student, (teacher,) = passes(method)
    pairs = zip(student.features.values(), teacher.features.values(), strict=True)
    losses = [attention_loss(s, t, 3.0) for s, t in pairs]
    assert len(losses) == 2
    torch.testing.assert_close(method(student, [teacher], BATCH), {"at": losses[0] + losses[1]})


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: At(AtKnobs(), context))


def test_a_vector_is_refused() -> None:
    error = refusal(lambda: At(AtKnobs.model_validate(HEAD), between()))
    assert (error.code, error.pointer) == ("not_a_map", "/student_taps/0")
    assert "at compares maps, but 'head' (3x1x1) of the student is a vector" in error.message
