"""Cross-entropy on the labels.

    loss = - sum_k q_k log softmax(z)_k,  q = (1 - s) onehot(label) + s / K

summed over classes, mean over the batch; s is the label smoothing.
Source: any textbook; smoothing from Szegedy et al. 2015, section 7.
Departures from the paper: none.

B: batch, K: classes.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.errors import RunError
from kdcore.method import Method, Setting, implements
from kdcore.numerics import in_float32
from kdcore.spec.knobs.logits import HardTargetKnobs
from kdcore.taps import Outputs


@in_float32
def hard_target_loss(logits_BK: Tensor, labels_B: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy with the labels, summed over classes, mean over the batch."""
    return functional.cross_entropy(logits_BK, labels_B, label_smoothing=label_smoothing)


@implements(HardTargetKnobs)
class HardTarget(Method[HardTargetKnobs]):
    """Learns from the labels. Raises RunError `dataset_without_labels`."""

    teacher_logits = False

    def __init__(self, knobs: HardTargetKnobs, setting: Setting) -> None:
        super().__init__(knobs, setting)
        if not setting.labelled:
            raise RunError(
                "dataset_without_labels",
                "hard_target learns from labels, but the dataset has none; kd needs none",
            )

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """The term `hard_target`."""
        assert student.logits_BK is not None and batch.labels_B is not None
        loss = hard_target_loss(student.logits_BK, batch.labels_B, self.knobs.label_smoothing)
        return {"hard_target": loss}
