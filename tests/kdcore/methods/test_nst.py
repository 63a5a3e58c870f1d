"""Neuron selectivity: two sets of neurons by what they respond to."""

import pytest
import torch
from torch import nn

from kdcore.methods.nst import Nst, selectivity_loss
from kdcore.spec.knobs.maps import NstKnobs
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


def test_neurons_that_never_respond_together_cost_two() -> None:
    """k(s, s) + k(t, t) - 2 k(s, t) = 1 + 1 - 0."""
    s_BCHW = torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)
    assert selectivity_loss(s_BCHW, s_BCHW.flip(3)).item() == pytest.approx(2)


def test_the_same_set_of_neurons_costs_nothing() -> None:
    """In any order, each any number of times, and of any positive or negative scale."""
    t_BDHW = random(2, 3, 4, 4)
    scale_C11 = torch.tensor([2.0, 0.1, -5.0])[:, None, None]
    s_BCHW = torch.cat([t_BDHW.flip(1) * scale_C11, t_BDHW], 1)
    assert selectivity_loss(s_BCHW, t_BDHW).item() == pytest.approx(0, abs=1e-6)
    assert selectivity_loss(random(2, 3, 4, 4, seed=1), t_BDHW).item() > 0.01


def test_scale_of_a_neuron_does_not_count() -> None:
    s_BCHW, t_BDHW = random(2, 3, 4, 4), random(2, 5, 4, 4, seed=1)
    scale_C11 = torch.tensor([2.0, 0.1, 5.0])[:, None, None]
    loss = selectivity_loss(s_BCHW, t_BDHW)
    torch.testing.assert_close(selectivity_loss(s_BCHW * scale_C11, 3 * t_BDHW), loss)


def test_the_larger_map_is_pooled() -> None:
    t_BDHW = random(2, 3, 4, 2)
    s_BCHW = nn.functional.interpolate(t_BDHW, (8, 4), mode="nearest")
    assert selectivity_loss(s_BCHW, t_BDHW).item() == pytest.approx(0, abs=1e-6)


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((2, 3, 4, 4), 6e4, dtype=dtype, requires_grad=True)
    assert_finite(selectivity_loss(huge_BCHW, random(2, 3, 4, 4).to(dtype)), huge_BCHW)


def test_a_silent_neuron_has_a_finite_gradient() -> None:
    silent_BCHW = torch.zeros(2, 3, 4, 4, requires_grad=True)
    assert_finite(selectivity_loss(silent_BCHW, random(2, 3, 4, 4)), silent_BCHW)


def test_levels_are_summed() -> None:
    method = Nst(NstKnobs(), between())
    student, (teacher,) = passes(method)
    pairs = zip(student.features.values(), teacher.features.values(), strict=True)
    losses = [selectivity_loss(s, t) for s, t in pairs]
    assert len(losses) == 2
    torch.testing.assert_close(method(student, [teacher], BATCH), {"nst": losses[0] + losses[1]})


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Nst(NstKnobs(), context))


def test_a_vector_is_refused() -> None:
    knobs = NstKnobs.model_validate({"teacher_taps": ({"module": "head"},)})
    error = refusal(lambda: Nst(knobs, between()))
    assert (error.code, error.pointer) == ("not_a_map", "/teacher_taps/0")
