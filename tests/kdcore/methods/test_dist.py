"""DIST: correlations in place of probabilities, with the right sign."""

import pytest
import torch

from kdcore.methods.dist import Dist, dist_loss
from kdcore.objectives.base import MethodContext
from kdcore.spec.knobs.logits import DistKnobs
from tests.kdcore.methods.pairs import (
    HALVES,
    assert_finite,
    assert_mixed,
    between,
    random,
    refusal,
)
from tests.kdcore.tiny import Traps, probe

# Class probabilities of two samples, and the other way round: correlations of exactly -1.
PROBS = torch.tensor([[0.9, 0.1], [0.2, 0.8]])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_student_like_its_teacher_costs_nothing(temperature: float) -> None:
    z_BK = random(6, 5)
    loss = dist_loss(z_BK + 2.0, torch.log_softmax(z_BK / temperature, 1), temperature, 2.0, 2.0)
    assert loss.item() == pytest.approx(0, abs=1e-5)


def test_opposite_relations_cost_two_of_each_kind() -> None:
    student_BK = PROBS.flip(1).log()
    assert dist_loss(student_BK, PROBS.log(), 1.0, 1.0, 0.0).item() == pytest.approx(2)
    assert dist_loss(student_BK, PROBS.log(), 1.0, 0.0, 1.0).item() == pytest.approx(2)
    assert dist_loss(student_BK, PROBS.log(), 1.0, 2.0, 3.0).item() == pytest.approx(10)


def test_better_correlation_is_a_lower_loss() -> None:
    z_BK, far_BK = random(6, 5), random(6, 5, seed=1)
    target_BK = torch.log_softmax(z_BK, 1)
    losses = [
        dist_loss(torch.lerp(far_BK, z_BK, near), target_BK, 1.0, 2.0, 2.0).item()
        for near in (0.0, 0.3, 0.6, 0.9, 1.0)
    ]
    assert losses == sorted(losses, reverse=True) and losses[0] > losses[-1] + 0.1


def test_a_linear_map_of_the_probabilities_does_not_count() -> None:
    """Pearson's correlation: a student less sure in the same ratios is as good."""
    target_BK = random(6, 4).softmax(1)
    student_BK = 0.5 * target_BK + 0.5 / 4
    loss = dist_loss(student_BK.log(), target_BK.log(), 1.0, 2.0, 2.0)
    assert loss.item() == pytest.approx(0, abs=1e-5)


def test_temperature_is_squared_outside() -> None:
    s_BK, t_BK = random(6, 5), random(6, 5, seed=1)
    soft = dist_loss(s_BK, torch.log_softmax(t_BK / 4, 1), 4.0, 2.0, 2.0)
    same = dist_loss(s_BK / 4, torch.log_softmax(t_BK / 4, 1), 1.0, 2.0, 2.0)
    torch.testing.assert_close(soft, 16 * same)


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    """So sure a student gives whole columns of zeros, which correlate with nothing."""
    student_BK = torch.tensor([[6e4, -6e4, 0.0]] * 2, dtype=dtype, requires_grad=True)
    target_BK = torch.log_softmax(-student_BK.detach().float(), 1)
    assert_finite(dist_loss(student_BK, target_BK, 1.0, 2.0, 2.0), student_BK)


def test_several_teachers_are_mixed_before_the_comparison() -> None:
    assert_mixed(
        lambda context: Dist(DistKnobs(temperature=2.0, beta=1.0, gamma=3.0), context),
        lambda z_BK, target_BK: dist_loss(z_BK, target_BK, 2.0, 1.0, 3.0),
    )


def test_one_sample_has_no_relations_within_a_class() -> None:
    error = refusal(lambda: Dist(DistKnobs(), between(batch_size=1)))
    assert error.code == "batch_too_small" and "needs at least 2, not 1" in error.message


def test_a_teacher_of_other_classes_is_refused() -> None:
    context = MethodContext(probe(Traps()), (probe(Traps(classes=5), "wide", 5),), (1.0,))
    assert refusal(lambda: Dist(DistKnobs(), context)).code == "class_count_mismatch"
