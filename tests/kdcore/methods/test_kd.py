"""Soft targets: the golden values, the limits that define them, and which teachers fit."""

import pytest
import torch
from torch import Tensor

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.methods.kd import Kd, kd_loss
from kdcore.objectives.base import MethodContext
from kdcore.runtime.errors import RunError
from kdcore.spec.knobs.logits import KdKnobs
from tests.kdcore.tiny import Traps, golden, probe


def _logits(seed: int, classes: int = 10) -> Tensor:
    return torch.randn(6, classes, generator=torch.Generator().manual_seed(seed))


def _loss(student_BK: Tensor, teacher_BK: Tensor, temperature: float) -> Tensor:
    return kd_loss(student_BK, torch.log_softmax(teacher_BK / temperature, 1), temperature)


def test_golden_values() -> None:
    case = golden("kd")
    student_BK = case["student_logits"].requires_grad_()
    loss = _loss(student_BK, case["teacher_logits"], 4.0)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss[None], case["loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(student_BK.grad, case["grad_student_logits"], rtol=1e-4, atol=1e-7)


def test_a_student_like_its_teacher_costs_nothing() -> None:
    assert _loss(_logits(0), _logits(0) + 3.0, 4.0).item() == pytest.approx(0, abs=1e-6)


def test_at_high_temperature_it_is_the_squared_distance_of_centred_logits() -> None:
    """T^2 keeps the loss's size: Hinton et al., equation 4, gives sum (v - z)^2 / 2N."""
    v_BK, z_BK = _logits(0).double(), _logits(1).double()
    centred_BK = (v_BK - v_BK.mean(1, keepdim=True)) - (z_BK - z_BK.mean(1, keepdim=True))
    expected = centred_BK.square().sum(1).mean() / (2 * 10)
    assert _loss(z_BK, v_BK, 30.0).item() == pytest.approx(expected.item(), rel=0.05)


def test_it_is_summed_over_classes_and_averaged_over_the_batch() -> None:
    """Trap 5: divided by the classes too, the loss is a hundred times too small."""
    z_BK, v_BK = _logits(0), _logits(1)
    doubled = _loss(torch.cat([z_BK, z_BK]), torch.cat([v_BK, v_BK]), 2.0)
    assert doubled.item() == pytest.approx(_loss(z_BK, v_BK, 2.0).item(), rel=1e-6)
    p_BK, q_BK = torch.softmax(v_BK / 2, 1), torch.softmax(z_BK / 2, 1)
    by_hand = 4 * (p_BK * (p_BK.log() - q_BK.log())).sum(1).mean()
    assert doubled.item() == pytest.approx(by_hand.item(), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    student_BK = torch.tensor([[3e4, -3e4, 0.0]], dtype=dtype, requires_grad=True)
    loss = _loss(student_BK, torch.tensor([[-3e4, 3e4, 0.0]], dtype=dtype), 1.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.dtype is torch.float32 and bool(torch.isfinite(loss))
    assert student_BK.grad is not None and student_BK.grad.dtype is dtype
    assert bool(torch.isfinite(student_BK.grad).all())


def test_several_teachers_are_mixed_by_their_weights_before_the_comparison() -> None:
    context = MethodContext(
        probe(Traps()),
        (probe(Traps(), "a"), probe(Traps(), "b")),
        weights=(3.0, 1.0),
        ensemble="arithmetic",
    )
    method = Kd(KdKnobs(temperature=2.0), context)
    z_BK, a_BK, b_BK = _logits(0, 3), _logits(1, 3), _logits(2, 3)
    batch = Batch(torch.arange(6), torch.zeros(6, 1, 8, 8), None)
    loss = method(Outputs(z_BK), [Outputs(a_BK), Outputs(b_BK)], batch)["kd"]
    mixed_BK = 0.75 * torch.softmax(a_BK / 2, 1) + 0.25 * torch.softmax(b_BK / 2, 1)
    torch.testing.assert_close(loss, kd_loss(z_BK, mixed_BK.log(), 2.0))


def test_a_teacher_of_other_classes_is_refused() -> None:
    context = MethodContext(probe(Traps()), (probe(Traps(classes=5), "wide", 5),), (1.0,))
    with pytest.raises(RunError, match="wide has 5 classes and the student 3") as caught:
        Kd(KdKnobs(), context)
    assert caught.value.code == "class_count_mismatch"
