"""Logit standardization in knowledge distillation (Sun et al. 2024, algorithm 1).

    loss = T^2 KL(softmax(Z(z_t) / T) || softmax(Z(z_s) / T)),  Z(z) = (z - mean z) / std z

summed over classes, mean over the batch; the standard deviation is the sample's (K - 1). The
student need not copy the teacher's logits' range. Several teachers: each is standardized, then
their class probabilities are averaged.
Departures from the paper: none.

B: batch, K: classes.
"""

from collections.abc import Sequence

from torch import Tensor

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method, MethodContext, implements, logits_of
from kdcore.objectives.numerics import ensemble_log_probs, in_float32, softened_divergence
from kdcore.spec.knobs.logits import StandardizedKdKnobs

EPSILON = 1e-7


@in_float32
def standardized(logits_BK: Tensor) -> Tensor:
    """Standardize every sample's logits to mean 0 and sample standard deviation 1, shape BK."""
    centred_BK = logits_BK - logits_BK.mean(1, keepdim=True)
    return centred_BK / (logits_BK.std(1, keepdim=True) + EPSILON)


@in_float32
def standardized_kd_loss(
    student_BK: Tensor, teacher_log_probs_BK: Tensor, temperature: float
) -> Tensor:
    """T^2 KL(teacher || standardized student at T), summed over classes, mean over the batch.

    `teacher_log_probs_BK`: log-probabilities of standardized logits at the same temperature.
    """
    return softened_divergence(standardized(student_BK), teacher_log_probs_BK, temperature)


@implements(StandardizedKdKnobs)
class StandardizedKd(Method[StandardizedKdKnobs]):
    """Learns the shape of the teachers' logits."""

    def __init__(self, knobs: StandardizedKdKnobs, context: MethodContext) -> None:
        super().__init__(knobs, context)
        self._weights, self._mean = context.weights, context.ensemble

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """The term `standardized_kd`."""
        assert student.logits_BK is not None
        temperature = self.knobs.temperature
        logits_BK = [standardized(z_BK) for z_BK in logits_of(teachers)]
        target_BK = ensemble_log_probs(logits_BK, self._weights, temperature, self._mean)
        return {"standardized_kd": standardized_kd_loss(student.logits_BK, target_BK, temperature)}
