"""Cross-entropy on the labels."""

import math

import pytest
import torch

from kdcore.data.batches import Batch, Mix
from kdcore.features.taps import Outputs
from kdcore.methods.hard_target import HardTarget, hard_target_loss, mixed_target_loss
from kdcore.objectives.base import MethodContext
from kdcore.runtime.errors import RunError
from kdcore.spec.knobs.logits import HardTargetKnobs
from tests.kdcore.tiny import Traps, probe


def test_undecided_logits_cost_log_of_the_class_count() -> None:
    """Summed over classes, mean over the batch."""
    loss = hard_target_loss(torch.zeros(4, 10), torch.arange(4))
    assert loss.item() == pytest.approx(math.log(10))


def test_label_smoothing_moves_mass_to_all_classes() -> None:
    logits_BK, label_B = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])
    logs = torch.log_softmax(logits_BK, 1)[0]
    expected = -(0.8 * logs[0] + 0.1 * logs[1] + 0.1 * logs[2])
    loss = hard_target_loss(logits_BK, label_B, label_smoothing=0.3)
    assert loss.item() == pytest.approx(expected.item())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    logits_BK = torch.tensor([[3e4, -3e4], [1.0, 2.0]], dtype=dtype)
    loss = hard_target_loss(logits_BK, torch.tensor([1, 0]))
    assert loss.dtype is torch.float32 and math.isfinite(loss.item())


def test_term_has_the_methods_name() -> None:
    method = HardTarget(HardTargetKnobs(label_smoothing=0.1), MethodContext(probe(Traps())))
    logits_BK, labels_B = torch.randn(2, 3), torch.tensor([0, 2])
    batch = Batch(torch.arange(2), torch.zeros(2, 1, 8, 8), labels_B)
    terms = method(Outputs(logits_BK), (), batch)
    assert torch.equal(terms["hard_target"], hard_target_loss(logits_BK, labels_B, 0.1))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_mixed_image_costs_the_mean_of_both_labels_by_share(smoothing: float) -> None:
    """As cross-entropy against the mixed distribution (Zhang et al. 2018, section 2)."""
    method = HardTarget(HardTargetKnobs(label_smoothing=smoothing), MethodContext(probe(Traps())))
    logits_BK = torch.randn(3, 4, requires_grad=True)
    own_B, other_B = torch.tensor([0, 3, 1]), torch.tensor([2, 3, 0])
    share_B = torch.tensor([0.7, 0.2, 1.0])
    mix = Mix(torch.tensor([5, 6, 7]), other_B, share_B)
    batch = Batch(torch.arange(3), torch.zeros(3, 1, 8, 8), own_B, mix)
    loss = method(Outputs(logits_BK), (), batch)["hard_target"]
    own_BK, other_BK = (torch.nn.functional.one_hot(b, 4).float() for b in (own_B, other_B))
    target_BK = own_BK * share_B[:, None] + other_BK * (1 - share_B[:, None])
    target_BK = target_BK * (1 - smoothing) + smoothing / 4
    wanted = -(target_BK * torch.log_softmax(logits_BK, 1)).sum(1).mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    (gradient_BK,) = torch.autograd.grad(loss, logits_BK)
    assert torch.allclose(gradient_BK, (torch.softmax(logits_BK, 1) - target_BK) / 3, atol=1e-6)


def test_a_mixed_images_loss_is_float32_under_autocast() -> None:
    logits_BK = torch.tensor([[3e4, -3e4]], dtype=torch.float16)
    mix = Mix(torch.tensor([0]), torch.tensor([0]), torch.tensor([0.5]))
    loss = mixed_target_loss(logits_BK, torch.tensor([1]), mix)
    assert loss.dtype is torch.float32 and math.isfinite(loss.item())


def test_a_dataset_without_labels_is_refused() -> None:
    with pytest.raises(RunError) as caught:
        HardTarget(HardTargetKnobs(), MethodContext(probe(Traps()), labelled=False))
    assert caught.value.code == "dataset_without_labels"
