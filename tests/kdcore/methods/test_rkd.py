"""Relational KD: distances and angles between samples, and what moves neither."""

import pytest
import torch

from kdcore.methods.rkd import Rkd, relational_loss
from kdcore.objectives.map_base import embedding
from kdcore.spec.knobs.relations import RkdKnobs
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

EQUILATERAL = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
IN_LINE = torch.tensor([[0.0], [1.0], [2.0]])


def test_distances_of_a_triangle_against_a_line() -> None:
    """Over their means: 1, 1, 1 against 3/4, 3/4, 3/2; half of squares, nine entries."""
    expected = 2 * (0.25**2 + 0.25**2 + 0.5**2) / 2 / 9
    loss = relational_loss(EQUILATERAL, IN_LINE, 1.0, 0.0)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_angles_of_a_triangle_against_a_line() -> None:
    """Cosines of 1/2 against 1 at the ends and -1 in the middle, each in two of 27 entries."""
    expected = 2 * (0.5**2 / 2 + 0.5**2 / 2 + (1.5 - 0.5)) / 27
    loss = relational_loss(EQUILATERAL, IN_LINE, 0.0, 1.0)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("distance", "angle"), [(1.0, 0.0), (0.0, 1.0)])
def test_turning_scaling_and_moving_all_samples_do_not_count(distance: float, angle: float) -> None:
    t_BD = random(6, 5)
    moved_BC = 3 * rotated(t_BD) + random(5, seed=2)
    assert relational_loss(moved_BC, t_BD, distance, angle).item() == pytest.approx(0, abs=1e-6)
    assert relational_loss(random(6, 5, seed=1), t_BD, distance, angle).item() > 0.01


def test_both_parts_are_weighed_and_widths_may_differ() -> None:
    s_BC, t_BD = random(6, 3), random(6, 5, seed=1)
    distances, angles = (relational_loss(s_BC, t_BD, *w) for w in ((1.0, 0.0), (0.0, 1.0)))
    torch.testing.assert_close(
        relational_loss(s_BC, t_BD, 25.0, 50.0), 25 * distances + 50 * angles
    )


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BC = (6e4 * torch.eye(4)).to(dtype).requires_grad_()
    assert_finite(relational_loss(huge_BC, random(4, 8).to(dtype), 25.0, 50.0), huge_BC)


def test_equal_samples_have_a_finite_gradient() -> None:
    """Between them there is neither a distance nor an angle."""
    equal_BC = torch.ones(4, 3, requires_grad=True)
    assert_finite(relational_loss(equal_BC, random(4, 3), 25.0, 50.0), equal_BC)


def test_it_reads_the_means_over_positions_of_the_deepest_level() -> None:
    method = Rkd(RkdKnobs(distance=2.0, angle=3.0), between())
    student, (teacher,) = passes(method)
    ((s_BCHW,), (t_BCHW,)) = student.features.values(), teacher.features.values()
    expected = relational_loss(embedding(s_BCHW), embedding(t_BCHW), 2.0, 3.0)
    assert s_BCHW.shape[2:] == (4, 4)
    torch.testing.assert_close(method(student, [teacher], BATCH), {"rkd": expected})


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Rkd(RkdKnobs(), context))


def test_two_samples_have_no_angle() -> None:
    error = refusal(lambda: Rkd(RkdKnobs(), between(batch_size=2)))
    assert error.code == "batch_too_small" and "needs at least 3, not 2" in error.message


def test_a_wrong_tap_points_at_its_knob() -> None:
    knobs = RkdKnobs.model_validate({"student_taps": ({"module": "layer9"},)})
    error = refusal(lambda: Rkd(knobs, between()))
    assert (error.code, error.pointer) == ("tap_not_found", "/student_taps/0")
