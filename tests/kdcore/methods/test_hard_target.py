"""Cross-entropy on the labels."""

import math

import pytest
import torch

from kdcore.data.batches import Batch
from kdcore.errors import RunError
from kdcore.method import Setting
from kdcore.methods.hard_target import HardTarget, hard_target_loss
from kdcore.spec.knobs.logits import HardTargetKnobs
from kdcore.taps import Outputs
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
    method = HardTarget(HardTargetKnobs(label_smoothing=0.1), Setting(probe(Traps())))
    logits_BK, labels_B = torch.randn(2, 3), torch.tensor([0, 2])
    batch = Batch(torch.arange(2), torch.zeros(2, 1, 8, 8), labels_B)
    terms = method(Outputs(logits_BK), (), batch)
    assert torch.equal(terms["hard_target"], hard_target_loss(logits_BK, labels_B, 0.1))


def test_a_dataset_without_labels_is_refused() -> None:
    with pytest.raises(RunError) as caught:
        HardTarget(HardTargetKnobs(), Setting(probe(Traps()), labelled=False))
    assert caught.value.code == "dataset_without_labels"
