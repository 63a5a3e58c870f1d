"""Logit standardization: the shape of the logits counts, not their range."""

import pytest
import torch

from kdcore.features.taps import Outputs
from kdcore.methods.kd import kd_loss
from kdcore.methods.standardized_kd import StandardizedKd, standardized, standardized_kd_loss
from kdcore.objectives.base import MethodContext
from kdcore.spec.knobs.logits import StandardizedKdKnobs
from tests.kdcore.methods.pairs import BATCH, HALVES, assert_finite, between, random, refusal
from tests.kdcore.tiny import Traps, probe


def test_standardized_logits_have_mean_zero_and_the_samples_deviation_one() -> None:
    z_BK = standardized(3 + 5 * random(6, 4))
    torch.testing.assert_close(z_BK.mean(1), torch.zeros(6), rtol=0, atol=1e-6)
    torch.testing.assert_close(z_BK.std(1, correction=1), torch.ones(6))
    torch.testing.assert_close(
        standardized(torch.tensor([[1.0, 3.0]])), torch.tensor([[-1.0, 1]]) / 2**0.5
    )


def test_shift_and_positive_scale_of_the_students_logits_do_not_count() -> None:
    s_BK, t_BK = random(6, 5), torch.log_softmax(standardized(random(6, 5, seed=1)) / 2, 1)
    loss = standardized_kd_loss(s_BK, t_BK, 2.0)
    assert loss.item() > 0.01
    torch.testing.assert_close(standardized_kd_loss(7 * s_BK - 3, t_BK, 2.0), loss)


def test_a_student_whose_logits_are_the_teachers_scaled_costs_nothing() -> None:
    z_BK = random(6, 5)
    loss = standardized_kd_loss(0.1 * z_BK + 4, torch.log_softmax(standardized(z_BK), 1), 1.0)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_it_is_kd_of_standardized_logits() -> None:
    s_BK, t_BK = random(6, 5), torch.log_softmax(standardized(random(6, 5, seed=1)) / 2, 1)
    expected = kd_loss(standardized(s_BK), t_BK, 2.0)
    torch.testing.assert_close(standardized_kd_loss(s_BK, t_BK, 2.0), expected)


def test_constant_logits_have_a_finite_gradient() -> None:
    """A head that starts at zero gives logits without any deviation."""
    student_BK = torch.zeros(6, 5, requires_grad=True)
    target_BK = torch.log_softmax(random(6, 5), 1)
    assert_finite(standardized_kd_loss(student_BK, target_BK, 2.0), student_BK)


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    student_BK = torch.tensor([[6e4, -6e4, 0.0]], dtype=dtype, requires_grad=True)
    target_BK = torch.log_softmax(standardized(-student_BK.detach()), 1)
    assert_finite(standardized_kd_loss(student_BK, target_BK, 1.0), student_BK)


def test_several_teachers_are_standardized_and_then_mixed() -> None:
    """A teacher with large logits does not outvote the others."""
    method = StandardizedKd(
        StandardizedKdKnobs(temperature=2.0), between(Traps(), Traps(), weights=(3.0, 1.0))
    )
    z_BK, a_BK, b_BK = (random(6, 3, seed=n) for n in range(3))
    loss = method(Outputs(z_BK), [Outputs(a_BK), Outputs(100 * b_BK)], BATCH)
    p_BK, q_BK = (torch.softmax(standardized(x) / 2, 1) for x in (a_BK, b_BK))
    expected = standardized_kd_loss(z_BK, (0.75 * p_BK + 0.25 * q_BK).log(), 2.0)
    torch.testing.assert_close(loss, {"standardized_kd": expected})


def test_a_teacher_of_other_classes_is_refused() -> None:
    context = MethodContext(probe(Traps()), (probe(Traps(classes=5), "wide", 5),), (1.0,))
    error = refusal(lambda: StandardizedKd(StandardizedKdKnobs(), context))
    assert error.code == "class_count_mismatch"
