"""Decoupled knowledge distillation (Zhao et al. 2022, eq. 7).

    loss = T^2 (alpha KL(b_t || b_s) + beta KL(q_t || q_s))

b: the binary distribution of the label's class against all others; q: the softmax among the others
only; both at temperature T, summed over classes, mean over the batch. Several teachers: the mean
of their class probabilities at temperature T. Published weights: beta 2 to 8 by pair, with a linear
warm-up over 20 of 240 epochs (`warmup_epochs`).
Departures from the paper: computed in log space, since log(softmax) of small probabilities is -inf.

B: batch, K: classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method, MethodContext, implements, logits_of
from kdcore.objectives.numerics import ensemble_log_probs, in_float32
from kdcore.spec.knobs.logits import DkdKnobs


@in_float32
def dkd_loss(
    student_BK: Tensor,
    teacher_log_probs_BK: Tensor,
    labels_B: Tensor,
    temperature: float,
    alpha: float,
    beta: float,
) -> Tensor:
    """T^2 (alpha target-class part + beta other-classes part), mean over the batch.

    `student_BK` are logits, `teacher_log_probs_BK` log-probabilities at the same temperature.
    """
    log_probs_BK = functional.log_softmax(student_BK / temperature, dim=1)
    is_label_BK = functional.one_hot(labels_B, student_BK.shape[1]).bool()
    student, teacher = (
        _split(log_BK, is_label_BK) for log_BK in (log_probs_BK, teacher_log_probs_BK)
    )
    target = functional.kl_div(student[0], teacher[0], reduction="batchmean", log_target=True)
    others = functional.kl_div(student[1], teacher[1], reduction="none", log_target=True)
    others = others.masked_fill(is_label_BK, 0).sum() / len(labels_B)
    return (alpha * target + beta * others) * temperature**2


def _split(log_probs_BK: Tensor, is_label_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of (label's class, others), B2; and among others, BK, 0 at the label."""
    label_B = log_probs_BK.masked_fill(~is_label_BK, 0).sum(1)
    rest_BK = log_probs_BK.masked_fill(is_label_BK, -torch.inf)
    others_B = torch.logsumexp(rest_BK, dim=1)
    among_BK = (log_probs_BK - others_B[:, None]).masked_fill(is_label_BK, 0)
    return torch.stack([label_B, others_B], dim=1), among_BK


@implements(DkdKnobs)
class Dkd(Method[DkdKnobs]):
    """Learns the teachers' class probabilities, separately for the label's class and the others."""

    def __init__(self, knobs: DkdKnobs, context: MethodContext) -> None:
        super().__init__(knobs, context)
        self._weights, self._mean = context.weights, context.ensemble

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """The term `dkd`."""
        assert student.logits_BK is not None and batch.labels_B is not None
        assert batch.mix is None, "the spec refuses mixed images, which have no single label"
        k = self.knobs
        target_BK = ensemble_log_probs(
            logits_of(teachers), self._weights, k.temperature, self._mean
        )
        loss = dkd_loss(
            student.logits_BK, target_BK, batch.labels_B, k.temperature, k.alpha, k.beta
        )
        return {"dkd": loss}
