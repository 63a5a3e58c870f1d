"""DIST, knowledge distillation from a stronger teacher (Huang et al. 2022, eq. 8 to 10).

    loss = T^2 (beta mean over samples (1 - rho(p_s, p_t)) + gamma mean over classes (1 - rho))

rho is Pearson's correlation: between the class probabilities of one sample (relations between
classes) and, for one class, along the batch (relations within the class), at temperature T.
Several teachers: the mean of their class probabilities at temperature T.
Departures from the paper: none.

B: batch, K: classes.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.objectives.base import (
    Method,
    MethodContext,
    implements,
    logits_of,
)
from kdcore.objectives.numerics import ensemble_log_probs, in_float32
from kdcore.spec.knobs.logits import DistKnobs

EPSILON = 1e-8


@in_float32
def dist_loss(
    student_BK: Tensor,
    teacher_log_probs_BK: Tensor,
    temperature: float,
    beta: float,
    gamma: float,
) -> Tensor:
    """T^2 (beta (1 - correlation between classes) + gamma (1 - correlation within a class)).

    `student_BK` are logits, `teacher_log_probs_BK` log-probabilities at the same temperature.
    """
    student_BK = functional.softmax(student_BK / temperature, dim=1)
    teacher_BK = teacher_log_probs_BK.exp()
    between = _unlike(student_BK, teacher_BK)
    within = _unlike(student_BK.T, teacher_BK.T)
    return (beta * between + gamma * within) * temperature**2


def _unlike(a: Tensor, b: Tensor) -> Tensor:
    """1 - Pearson's correlation along the second dimension, mean over the first."""
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return 1 - functional.cosine_similarity(a, b, dim=1, eps=EPSILON).mean()


@implements(DistKnobs)
class Dist(Method[DistKnobs]):
    """Matches correlations instead of probabilities."""

    compares_samples = True

    def __init__(self, knobs: DistKnobs, context: MethodContext) -> None:
        super().__init__(knobs, context)
        self._weights, self._mean = context.weights, context.ensemble

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """The term `dist`."""
        assert student.logits_BK is not None
        k = self.knobs
        target_BK = ensemble_log_probs(
            logits_of(teachers), self._weights, k.temperature, self._mean
        )
        return {"dist": dist_loss(student.logits_BK, target_BK, k.temperature, k.beta, k.gamma)}
