"""Probabilistic knowledge transfer (Passalis & Tefas 2018, eq. 4 to 6, cosine kernel).

    p(j|i) = k_ij / sum_j k_ij,  k_ij = (cos(x_i, x_j) + 1) / 2;  loss = mean p_t log(p_t / p_s)

mean over all B x B entries; x: the maps' means over their positions.
Departures from the paper: a sample counts as its own neighbour, as in the authors' own code.

B: batch, C: channels, D: the other network's channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.objectives.base import implements
from kdcore.objectives.map_base import RelationMethod, embedding
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.relations import PktKnobs

EPSILON = 1e-7


@in_float32
def neighbour_loss(student_BC: Tensor, teacher_BD: Tensor) -> Tensor:
    """Divergence of the student's neighbour probabilities from the teacher's, mean over entries."""
    student_BB, teacher_BB = _neighbours(student_BC), _neighbours(teacher_BD)
    ratio_BB = (teacher_BB + EPSILON) / (student_BB + EPSILON)
    return (teacher_BB * ratio_BB.log()).mean()


def _neighbours(x_BC: Tensor) -> Tensor:
    x_BC = functional.normalize(x_BC, dim=1, eps=EPSILON)
    kernel_BB = (x_BC @ x_BC.T + 1) / 2
    return kernel_BB / kernel_BB.sum(1, keepdim=True)


@implements(PktKnobs)
class Pkt(RelationMethod[PktKnobs]):
    """Matches the neighbourhoods of the samples in a batch."""

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        losses = [
            neighbour_loss(embedding(s), embedding(t))
            for s, t in zip(students, teachers, strict=True)
        ]
        return torch.stack(losses).sum()
