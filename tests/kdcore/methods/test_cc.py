"""Correlation congruence: both kernels, and which projection learns."""

import math
from typing import cast

import pytest
import torch
from torch import nn

from kdcore.methods.cc import Cc, Projections, adjacent_loss, congruence_loss
from kdcore.spec.knobs.relations import CcKnobs
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
from tests.kdcore.tiny import Traps


def test_the_kernel_is_gaussian_in_the_distance_of_unit_vectors() -> None:
    """Equal samples against opposite ones: two of four entries differ, by 1 - exp(-4 gamma)."""
    equal_BE, opposite_BE = torch.ones(2, 3), torch.tensor([[2.0, 0, 0], [-1.0, 0, 0]])
    expected = (1 - math.exp(-4 * 0.4)) ** 2 / 2
    assert congruence_loss(equal_BE, opposite_BE, 0.4).item() == pytest.approx(expected, rel=1e-5)


def test_turning_and_scaling_do_not_count_for_the_gaussian_kernel() -> None:
    t_BE = random(6, 5)
    lengths_B1 = torch.tensor([0.1, 1, 2, 5, 10, 100])[:, None]
    loss = congruence_loss(rotated(t_BE) * lengths_B1, t_BE, 0.4)
    assert loss.item() == pytest.approx(0, abs=1e-10)
    assert congruence_loss(random(6, 5, seed=1), t_BE, 0.4).item() > 1e-3


def test_the_adjacent_kernel_multiplies_neighbours_differences() -> None:
    t_BE = torch.zeros(3, 2)
    s_BE = torch.tensor([[1.0, 2.0], [-3.0, 4.0], [5.0, 0.0]])
    expected = ((1 * 3 + 2 * 4) + (3 * 5 + 4 * 0)) / 2
    assert adjacent_loss(s_BE, t_BE).item() == pytest.approx(expected)
    assert adjacent_loss(t_BE + s_BE, s_BE).item() == 0


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BE = torch.full((3, 8), 6e4, dtype=dtype)
    assert_finite(congruence_loss(huge_BE, random(3, 8).to(dtype), 0.4))
    assert_finite(adjacent_loss(huge_BE, -huge_BE))


@pytest.mark.parametrize("kernel", ["gaussian", "adjacent"])
def test_both_are_projected_to_one_width_and_compared(kernel: str) -> None:
    knobs = CcKnobs.model_validate({"kernel": kernel, "gamma": 0.7, "embedding": 5})
    method = Cc(knobs, between(Traps(6)))
    student, (teacher,) = passes(method)
    ((s_BCHW,), (t_BCHW,)) = student.features.values(), teacher.features.values()
    own_BE, their_BE = cast(Projections, cast(nn.ModuleList, method.heads[0])[0])(s_BCHW, t_BCHW)
    assert own_BE.shape == their_BE.shape == (6, 5)
    if kernel == "gaussian":
        expected = congruence_loss(own_BE, their_BE, 0.7)
    else:
        expected = adjacent_loss(own_BE, their_BE)
    torch.testing.assert_close(method(student, [teacher], BATCH), {"cc": expected})


def test_the_students_projection_learns_and_the_teachers_does_not() -> None:
    """A projection of the teacher that learns would make both constant."""
    method = Cc(CcKnobs(), between(Traps(6)))
    student, teachers = passes(method)
    learning = [p for p in method.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=1.0)
    part = cast(Projections, cast(nn.ModuleList, method.heads[0])[0])
    before = {k: v.clone() for k, v in method.state_dict().items()}
    method(student, teachers, BATCH)["cc"].backward()
    optimizer.step()
    assert part.teacher.weight.grad is None and len(learning) == 2
    changed = {k for k, v in method.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"heads.0.0.student.weight", "heads.0.0.student.bias"}


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Cc(CcKnobs(), context))


def test_one_sample_correlates_with_nothing() -> None:
    error = refusal(lambda: Cc(CcKnobs(), between(batch_size=1)))
    assert error.code == "batch_too_small" and "needs at least 2, not 1" in error.message


def test_a_wrong_tap_points_at_its_knob() -> None:
    knobs = CcKnobs.model_validate({"student_taps": ({"module": "layer9"},)})
    error = refusal(lambda: Cc(knobs, between()))
    assert (error.code, error.pointer) == ("tap_not_found", "/student_taps/0")
