"""Correlation congruence (Peng et al. 2019, eq. 6 to 11).

    loss = 1/B^2 |C_t - C_s|^2_F,  C_ij = exp(-gamma |x_i - x_j|^2)

x: embeddings, a linear projection of the maps' means to one width, normalised to length 1, where
the kernel is exp(-2 gamma) exp(2 gamma x_i^T x_j), which the paper expands to the second order.
`kernel: adjacent` is what a widely used re-implementation computes instead: the mean over the batch
of |d_i| |d_{i+1}|, summed over channels, d = x_s - x_t.
Departures from the paper: the kernel is exact (the expansion only saves an exponential); the
teacher's projection is not trained: it is random and fixed from the start.

B: batch, C: channels, E: width of the embedding.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.objectives.base import MethodContext, implements
from kdcore.objectives.map_base import Pair, RelationMethod, embedding
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.relations import CcKnobs


@in_float32
def congruence_loss(student_BE: Tensor, teacher_BE: Tensor, gamma: float) -> Tensor:
    """Mean squared difference of the two kernel matrices."""
    return functional.mse_loss(_kernel(student_BE, gamma), _kernel(teacher_BE, gamma))


def _kernel(x_BE: Tensor, gamma: float) -> Tensor:
    x_BE = functional.normalize(x_BE, dim=1)
    return torch.exp(2 * gamma * (x_BE @ x_BE.T - 1))


@in_float32
def adjacent_loss(student_BE: Tensor, teacher_BE: Tensor) -> Tensor:
    """Products of neighbours' absolute differences, summed over channels, mean over the batch."""
    difference_BE = (student_BE - teacher_BE).abs()
    return (difference_BE[:-1] * difference_BE[1:]).sum(1).mean()


class Projections(nn.Module):
    """Projections of both networks to one width: the student's trained, the teacher's fixed."""

    def __init__(self, student: int, teacher: int, width: int) -> None:
        super().__init__()
        self.student = nn.Linear(student, width)
        self.teacher = nn.Linear(teacher, width).requires_grad_(False)

    def forward(self, student_BCHW: Tensor, teacher_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Both embeddings, x_BE."""
        return self.student(embedding(student_BCHW)), self.teacher(embedding(teacher_BCHW))


@implements(CcKnobs)
class Cc(RelationMethod[CcKnobs]):
    """Matches the correlations between the samples of a batch."""

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        width = self.knobs.embedding
        return nn.ModuleList(
            Projections(own.grid.channels, theirs.grid.channels, width) for own, theirs in pairs
        )

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        assert isinstance(head, nn.ModuleList)
        losses = []
        for projections, s, t in zip(head, students, teachers, strict=True):
            own_BE, their_BE = projections(s, t)
            if self.knobs.kernel == "gaussian":
                losses.append(congruence_loss(own_BE, their_BE, self.knobs.gamma))
            else:
                losses.append(adjacent_loss(own_BE, their_BE))
        return torch.stack(losses).sum()
