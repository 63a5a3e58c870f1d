"""Soft targets of one or several teachers (Hinton, Vinyals & Dean 2015, section 2).

    loss = T^2 KL(p || softmax(z_s / T)),  p = mean over teachers of softmax(z_t / T)

summed over classes, mean over the batch. T^2 keeps the gradient's size as T changes, so hard and
soft weights stay independent numbers. Several teachers: the arithmetic or geometric mean of their
class probabilities at temperature T (section 1).
Departures from the paper: none; its cross-entropy differs from KL by the teacher's entropy, which
has no gradient.

B: batch, K: classes.
"""

from collections.abc import Sequence

from torch import Tensor

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method, MethodContext, implements, logits_of
from kdcore.objectives.numerics import ensemble_log_probs, in_float32, softened_divergence
from kdcore.spec.knobs.logits import KdKnobs


@in_float32
def kd_loss(student_BK: Tensor, teacher_log_probs_BK: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student at T), summed over classes, mean over the batch.

    `student_BK` are logits, `teacher_log_probs_BK` log-probabilities at the same temperature.
    """
    return softened_divergence(student_BK, teacher_log_probs_BK, temperature)


@implements(KdKnobs)
class Kd(Method[KdKnobs]):
    """Learns the teachers' class probabilities."""

    def __init__(self, knobs: KdKnobs, context: MethodContext) -> None:
        super().__init__(knobs, context)
        self._weights = context.weights
        self._mean = context.ensemble

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """The term `kd`."""
        assert student.logits_BK is not None
        temperature = self.knobs.temperature
        target_BK = ensemble_log_probs(logits_of(teachers), self._weights, temperature, self._mean)
        return {"kd": kd_loss(student.logits_BK, target_BK, temperature)}
