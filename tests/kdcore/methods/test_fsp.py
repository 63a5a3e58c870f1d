"""Flow of solution procedure: the products of channels, and whose channels can be compared."""

import pytest
import torch
from torch import nn

from kdcore.methods.fsp import Fsp, fsp_loss, fsp_matrix
from kdcore.spec.knobs.maps import FspKnobs
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


def test_the_matrix_product_is_the_broadcast_definition() -> None:
    a_BCHW, b_BDHW = random(2, 3, 4, 2), random(2, 5, 4, 2, seed=1)
    by_hand_BCD = (a_BCHW[:, :, None] * b_BDHW[:, None]).mean((3, 4))
    torch.testing.assert_close(fsp_matrix(a_BCHW, b_BDHW), by_hand_BCD)


def test_the_larger_map_of_a_pair_is_pooled() -> None:
    a_BCHW, b_BDHW = random(2, 3, 8, 4), random(2, 5, 4, 2, seed=1)
    pooled_BCHW = nn.functional.avg_pool2d(a_BCHW, 2)
    torch.testing.assert_close(fsp_matrix(a_BCHW, b_BDHW), fsp_matrix(pooled_BCHW, b_BDHW))


def test_the_loss_is_the_mean_square_over_entries() -> None:
    """Constant maps: the products are 2 * 3 and 1 * 4."""
    a, b, x, y = (torch.full((2, 3, 4, 4), value) for value in (2.0, 3.0, 1.0, 4.0))
    assert fsp_loss(a, b, x, y).item() == pytest.approx((6 - 4) ** 2)


def test_a_student_of_the_teachers_flow_costs_nothing_wherever_it_flows() -> None:
    """Positions may be shuffled, the same way in both maps, and sizes may differ."""
    a_BCHW, b_BDHW = random(2, 3, 4, 4), random(2, 5, 4, 4, seed=1)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))
    moved_a, moved_b = (x.flatten(2)[:, :, order].reshape(2, -1, 2, 8) for x in (a_BCHW, b_BDHW))
    assert fsp_loss(moved_a, moved_b, a_BCHW, b_BDHW).item() == pytest.approx(0, abs=1e-10)
    assert fsp_loss(moved_a, b_BDHW.reshape(2, 5, 2, 8), a_BCHW, b_BDHW).item() > 1e-3


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((2, 3, 4, 4), 6e4, dtype=dtype)
    assert_finite(fsp_loss(huge_BCHW, huge_BCHW, -huge_BCHW, huge_BCHW))


def test_every_two_neighbouring_levels_are_a_pair() -> None:
    taps = tuple({"module": name} for name in ("bn1", "relu", "bn2"))
    knobs = FspKnobs.model_validate({"student_taps": taps, "teacher_taps": taps})
    method = Fsp(knobs, between())
    student, (teacher,) = passes(method)
    (a, b, c), (x, y, z) = student.features.values(), teacher.features.values()
    expected = fsp_loss(a, b, x, y) + fsp_loss(b, c, y, z)
    torch.testing.assert_close(method(student, [teacher], BATCH), {"fsp": expected})


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Fsp(FspKnobs(), context), wide=4)


def test_channels_that_differ_are_refused_with_both_networks() -> None:
    error = refusal(lambda: Fsp(FspKnobs(), between(Traps(), Traps(6))))
    assert error.code == "fsp_channels"
    assert "the student's levels have 4, 4 and those of b have 6, 6" in error.message


def test_one_level_is_refused() -> None:
    assert refusal(lambda: Fsp(FspKnobs(levels=1), between())).code == "fsp_levels"
