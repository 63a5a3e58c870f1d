"""Variational information: the likelihood, its variances, and where they start."""

import math
from typing import cast

import pytest
import torch
from torch import nn
from torch.nn import functional

from kdcore.methods.vid import LEAST_VARIANCE, Regression, Vid, information_loss
from kdcore.spec.knobs.maps import VidKnobs
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
from tests.kdcore.tiny import Traps


def _variance(regression: Regression) -> torch.Tensor:
    return functional.softplus(regression.log_scale) + LEAST_VARIANCE


@pytest.mark.parametrize("variance", [1e-3, 0.5, 5.0, 100.0, 1e4])
def test_every_channel_starts_at_the_initial_variance(variance: float) -> None:
    regression = Regression(2, 3, variance)
    torch.testing.assert_close(_variance(regression), torch.full((3,), variance))


def test_a_variance_below_the_least_starts_near_it() -> None:
    variance_C = _variance(Regression(2, 3, 1e-9))
    assert bool((variance_C < 3 * LEAST_VARIANCE).all())


@pytest.mark.parametrize("variance", [0.5, 4.0])
def test_it_is_the_gaussian_negative_log_likelihood_but_for_a_constant(variance: float) -> None:
    mean_BCHW, t_BCHW = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    log_scale_C = Regression(2, 3, variance).log_scale
    spread = torch.full_like(t_BCHW, variance)
    expected = functional.gaussian_nll_loss(mean_BCHW, t_BCHW, spread)
    torch.testing.assert_close(information_loss(mean_BCHW, t_BCHW, log_scale_C), expected)
    alike = information_loss(t_BCHW, t_BCHW, log_scale_C)
    assert alike.item() == pytest.approx(math.log(variance) / 2, abs=1e-6)


def test_the_best_variance_is_the_mean_squared_error() -> None:
    mean_BCHW, t_BCHW = random(2, 1, 4, 4), random(2, 1, 4, 4, seed=1)
    error = functional.mse_loss(mean_BCHW, t_BCHW).item()
    slopes = []
    for variance in (0.5 * error, error, 2 * error):
        log_scale_C = Regression(2, 1, variance).log_scale
        loss = information_loss(mean_BCHW, t_BCHW, log_scale_C)
        slopes.append(torch.autograd.grad(loss, log_scale_C)[0].item())
    assert slopes[0] < -1e-2 and slopes[1] == pytest.approx(0, abs=1e-5) and slopes[2] > 1e-2


def test_a_shift_of_mean_and_map_does_not_count() -> None:
    mean_BCHW, t_BCHW, log_scale_C = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1), random(3)
    shifted = information_loss(mean_BCHW + 2, t_BCHW + 2, log_scale_C)
    torch.testing.assert_close(shifted, information_loss(mean_BCHW, t_BCHW, log_scale_C))


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((2, 3, 4, 4), 6e4, dtype=dtype)
    assert_finite(information_loss(huge_BCHW, -huge_BCHW, torch.zeros(3, dtype=dtype)))


def test_every_level_has_its_regression_and_they_are_summed() -> None:
    method = Vid(VidKnobs(initial_variance=2.0), between(Traps(6)))
    levels = [cast(Regression, x) for x in cast(nn.ModuleList, method.heads[0])]
    for level in levels:
        torch.testing.assert_close(_variance(level), torch.full((6,), 2.0))
        assert level.log_scale.requires_grad
    student, (teacher,) = passes(method)
    maps = zip(levels, student.features.values(), teacher.features.values(), strict=True)
    expected = torch.stack(
        [information_loss(x.regressor(s), t, x.log_scale) for x, s, t in maps]
    ).sum()
    torch.testing.assert_close(method(student, [teacher], BATCH), {"vid": expected})


def test_the_larger_map_is_pooled() -> None:
    regression, s_BCHW = Regression(2, 3, 1.0), random(2, 2, 4, 2)
    t_BCHW = regression.regressor(s_BCHW).detach()
    larger_BCHW = functional.interpolate(t_BCHW, (8, 4), mode="nearest")
    torch.testing.assert_close(regression(s_BCHW, larger_BCHW), regression(s_BCHW, t_BCHW))


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Vid(VidKnobs(), context))


def test_a_vector_is_refused() -> None:
    knobs = VidKnobs.model_validate({"teacher_taps": ({"module": "head"},)})
    error = refusal(lambda: Vid(knobs, between()))
    assert (error.code, error.pointer) == ("not_a_map", "/teacher_taps/0")
