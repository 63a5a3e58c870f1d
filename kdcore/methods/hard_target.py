"""Cross-entropy on the labels.

    loss = - sum_k q_k log softmax(z)_k,  q = (1 - s) onehot(label) + s / K

summed over classes, mean over the batch; s is the label smoothing. The loss of a mixed image is the
mean of the losses for both labels, weighted by their shares.
Source: any textbook; smoothing from Szegedy et al. 2015, section 7; mixed images from Zhang et al.
2018 (mixup), section 2, and Yun et al. 2019 (CutMix), section 3.1.
Departures from the paper: none.

B: batch, K: classes.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from kdcore.data.batches import Batch, Mix
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method, implements
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.logits import HardTargetKnobs


@in_float32
def hard_target_loss(logits_BK: Tensor, labels_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with the labels, summed over classes, mean over the batch."""
    return functional.cross_entropy(logits_BK, labels_B, label_smoothing=label_smoothing)


@in_float32
def mixed_target_loss(
    logits_BK: Tensor, labels_B: Tensor, mix: Mix, label_smoothing: float = 0.0
) -> Tensor:
    """share * loss(own label) + (1 - share) * loss(partner's label), mean over the batch."""
    assert mix.labels_B is not None
    own_B, other_B = (
        functional.cross_entropy(
            logits_BK, target_B, label_smoothing=label_smoothing, reduction="none"
        )
        for target_B in (labels_B, mix.labels_B)
    )
    return (mix.share_B * own_B + (1 - mix.share_B) * other_B).mean()


@implements(HardTargetKnobs)
class HardTarget(Method[HardTargetKnobs]):
    """Learns from the labels."""

    teacher_logits = False

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """The term `hard_target`."""
        assert student.logits_BK is not None and batch.labels_B is not None
        logits_BK, labels_B = student.logits_BK, batch.labels_B
        smoothing = self.knobs.label_smoothing
        if batch.mix is None:
            return {"hard_target": hard_target_loss(logits_BK, labels_B, smoothing)}
        return {"hard_target": mixed_target_loss(logits_BK, labels_B, batch.mix, smoothing)}
