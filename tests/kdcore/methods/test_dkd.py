"""Decoupled KD: the identity that splits KD, and arithmetic that stays finite."""

import pytest
import torch
from torch import Tensor

from kdcore.methods.dkd import Dkd, dkd_loss
from kdcore.methods.kd import kd_loss
from kdcore.objectives.base import MethodContext
from kdcore.spec.knobs.logits import DkdKnobs
from tests.kdcore.methods.pairs import (
    BATCH,
    HALVES,
    assert_finite,
    assert_mixed,
    between,
    random,
    refusal,
)
from tests.kdcore.tiny import Traps, probe

LABELS = torch.tensor([0, 4, 2])


def _log_probs(logits_BK: Tensor, temperature: float = 1.0) -> Tensor:
    return torch.log_softmax(logits_BK / temperature, 1)


def test_a_student_like_its_teacher_costs_nothing() -> None:
    z_BK = random(3, 5)
    loss = dkd_loss(z_BK - 7.0, _log_probs(z_BK, 4.0), LABELS, 4.0, 1.0, 8.0)
    assert loss.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kd_is_the_target_part_plus_the_rest_by_the_teachers_doubt(temperature: float) -> None:
    """KL(p || q) = KL of the target part + (1 - p_label) KL among the others, sample by sample."""
    z_BK, target_BK = random(3, 5), _log_probs(random(3, 5, seed=1), temperature)
    for n in range(3):
        one = z_BK[n : n + 1], target_BK[n : n + 1]
        doubt = 1 - one[1].exp()[0, LABELS[n]].item()
        split = dkd_loss(*one, LABELS[n : n + 1], temperature, alpha=1.0, beta=doubt)
        torch.testing.assert_close(split, kd_loss(*one, temperature))


def test_alpha_and_beta_weigh_their_own_part() -> None:
    z_BK, target_BK = random(3, 5), _log_probs(random(3, 5, seed=1))
    target, others, both = (
        dkd_loss(z_BK, target_BK, LABELS, 1.0, alpha, beta)
        for alpha, beta in ((1.0, 0.0), (0.0, 1.0), (2.0, 8.0))
    )
    assert target.item() > 0.01 and others.item() > 0.01
    torch.testing.assert_close(both, 2 * target + 8 * others)


def test_the_other_classes_term_ignores_the_labels_class() -> None:
    z_BK, target_BK = random(3, 5), _log_probs(random(3, 5, seed=1))
    loss = dkd_loss(z_BK, target_BK, LABELS, 1.0, 0.0, 1.0)
    z_BK[torch.arange(3), LABELS] += 5.0
    torch.testing.assert_close(dkd_loss(z_BK, target_BK, LABELS, 1.0, 0.0, 1.0), loss)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_logits_of_ten_thousand_are_finite(sign: float) -> None:
    """The logarithm of a softmax that has rounded to 0 is infinite."""
    z_BK = torch.zeros(3, 5)
    z_BK[torch.arange(3), LABELS] = 1e4 * sign
    student_BK = (-z_BK).requires_grad_()
    loss = dkd_loss(student_BK, _log_probs(z_BK), LABELS, 1.0, 1.0, 2.0)
    assert_finite(loss, student_BK)
    assert loss.item() == pytest.approx(1e4, rel=0.01)


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    student_BK = torch.tensor([[6e4, -6e4, 0.0]], dtype=dtype, requires_grad=True)
    target_BK = _log_probs(-student_BK.detach().float())
    assert_finite(dkd_loss(student_BK, target_BK, torch.tensor([1]), 4.0, 1.0, 2.0), student_BK)


def test_several_teachers_are_mixed_before_the_comparison() -> None:
    labels_B = BATCH.labels_B
    assert labels_B is not None
    assert_mixed(
        lambda context: Dkd(DkdKnobs(temperature=2.0, alpha=0.5, beta=3.0), context),
        lambda z_BK, target_BK: dkd_loss(z_BK, target_BK, labels_B, 2.0, 0.5, 3.0),
    )


def test_labels_are_needed() -> None:
    error = refusal(lambda: Dkd(DkdKnobs(), between(labelled=False)))
    assert error.code == "dataset_without_labels" and "kd needs none" in error.message


def test_two_classes_leave_no_others_to_compare() -> None:
    two = probe(Traps(classes=2), classes=2)
    error = refusal(lambda: Dkd(DkdKnobs(), MethodContext(two, (two,), (1.0,))))
    assert error.code == "too_few_classes" and "2 classes" in error.message


def test_a_teacher_of_other_classes_is_refused() -> None:
    context = MethodContext(probe(Traps()), (probe(Traps(classes=5), "wide", 5),), (1.0,))
    assert refusal(lambda: Dkd(DkdKnobs(), context)).code == "class_count_mismatch"
