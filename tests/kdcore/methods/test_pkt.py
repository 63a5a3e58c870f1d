"""Probabilistic knowledge transfer: neighbours' probabilities from cosines."""

import math

import pytest
import torch

from kdcore.methods.pkt import Pkt, neighbour_loss
from kdcore.objectives.map_base import embedding
from kdcore.spec.knobs.relations import PktKnobs
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


def test_students_samples_alike_and_teachers_opposite() -> None:
    """p_t is 1 for itself, p_s a half each: two of four entries are log 2."""
    alike_BC, opposite_BD = torch.ones(2, 3), torch.tensor([[1.0], [-1.0]])
    loss = neighbour_loss(alike_BC, opposite_BD)
    assert loss.item() == pytest.approx(math.log(2) / 2, rel=1e-5)


def test_turning_and_scaling_do_not_count() -> None:
    """Cosines do not see a sample's length either."""
    t_BD = random(6, 5)
    lengths_B1 = torch.tensor([0.1, 1, 2, 5, 10, 100])[:, None]
    assert neighbour_loss(rotated(t_BD) * lengths_B1, t_BD).item() == pytest.approx(0, abs=1e-6)
    assert neighbour_loss(random(6, 5, seed=1), t_BD).item() > 1e-3


def test_widths_may_differ() -> None:
    t_BD = random(6, 5)
    wide_BC = torch.cat([t_BD, torch.zeros(6, 3)], 1)
    assert neighbour_loss(wide_BC, t_BD).item() == pytest.approx(0, abs=1e-6)


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BC = torch.full((3, 8), 6e4, dtype=dtype, requires_grad=True)
    assert_finite(neighbour_loss(huge_BC, random(3, 8).to(dtype)), huge_BC)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_silent_and_opposite_samples_have_a_finite_gradient(value: float) -> None:
    """A cosine of -1 may round to just below it."""
    student_BC = torch.cat([random(1, 64), value * random(1, 64)]).requires_grad_()
    assert_finite(neighbour_loss(student_BC, random(2, 64, seed=1)), student_BC)


def test_it_reads_the_means_over_positions_of_the_deepest_level() -> None:
    method = Pkt(PktKnobs(), between())
    student, (teacher,) = passes(method)
    ((s_BCHW,), (t_BCHW,)) = student.features.values(), teacher.features.values()
    expected = neighbour_loss(embedding(s_BCHW), embedding(t_BCHW))
    assert s_BCHW.shape[2:] == (4, 4)
    torch.testing.assert_close(method(student, [teacher], BATCH), {"pkt": expected})


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Pkt(PktKnobs(), context))


def test_one_sample_has_no_neighbours() -> None:
    error = refusal(lambda: Pkt(PktKnobs(), between(batch_size=1)))
    assert error.code == "batch_too_small" and "needs at least 2, not 1" in error.message


def test_a_wrong_tap_points_at_its_knob() -> None:
    knobs = PktKnobs.model_validate({"student_taps": ({"module": "layer9"},)})
    error = refusal(lambda: Pkt(knobs, between()))
    assert (error.code, error.pointer) == ("tap_not_found", "/student_taps/0")
