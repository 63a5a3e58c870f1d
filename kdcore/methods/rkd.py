"""Relational knowledge distillation (Park et al. 2019, eq. 5 to 9).

    loss = distance * huber(d_s, d_t) + angle * huber(a_s, a_t)

d: distances between all pairs of a batch, divided by their mean; a: cosines of the angles in all
triples; both of the maps' means over their positions. huber: the smooth L1 loss, mean over entries.
Departures from the paper: none.

B: batch, C: channels, D: the other network's channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.objectives.base import implements
from kdcore.objectives.map_base import RelationMethod, embedding
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.relations import RkdKnobs

EPSILON = 1e-12


@in_float32
def relational_loss(
    student_BC: Tensor, teacher_BD: Tensor, distance: float, angle: float
) -> Tensor:
    """Weighted distance-wise and angle-wise losses, each a mean over entries."""
    distances = functional.smooth_l1_loss(_distances(student_BC), _distances(teacher_BD))
    angles = functional.smooth_l1_loss(_angles(student_BC), _angles(teacher_BD))
    return distance * distances + angle * angles


def _distances(x_BC: Tensor) -> Tensor:
    """Distances of all pairs, divided by the mean of those of different samples."""
    lengths_B = x_BC.square().sum(1)
    squares_BB = lengths_B[:, None] + lengths_B[None, :] - 2 * x_BC @ x_BC.T
    apart_BB = ~torch.eye(len(x_BC), dtype=torch.bool, device=x_BC.device)
    distances_BB = squares_BB.clamp(min=EPSILON).sqrt() * apart_BB
    mean = distances_BB.sum() / (distances_BB > 0).sum().clamp(min=1)
    return distances_BB / mean.clamp(min=EPSILON)


def _angles(x_BC: Tensor) -> Tensor:
    """Cosine of the angle at every sample between every two others, flattened."""
    difference_BBC = functional.normalize(x_BC[None] - x_BC[:, None], dim=2)
    return torch.bmm(difference_BBC, difference_BBC.transpose(1, 2)).flatten()


@implements(RkdKnobs)
class Rkd(RelationMethod[RkdKnobs]):
    """Matches distances and angles between the samples of a batch."""

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        losses = [
            relational_loss(embedding(s), embedding(t), self.knobs.distance, self.knobs.angle)
            for s, t in zip(students, teachers, strict=True)
        ]
        return torch.stack(losses).sum()
