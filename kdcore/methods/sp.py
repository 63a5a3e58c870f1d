"""Similarity-preserving distillation (Tung & Mori 2019, eq. 4).

    G = rows of Q Q^T, each normalised to length 1;  loss = sum over levels of |G_s - G_t|^2_F / B^2

Q: every sample's map, flattened. The B x B matrices can be compared whatever the maps' sizes are.
Departures from the paper: only the deepest level by default, as in reference implementations.

B: batch, C: channels, H, W: height and width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.objectives.base import implements
from kdcore.objectives.map_base import RelationMethod
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.relations import SpKnobs


@in_float32
def similarity_loss(student_BCHW: Tensor, teacher_BCHW: Tensor) -> Tensor:
    """Summed squared difference of the samples' similarities, divided by B^2."""
    difference_BB = _similarity(student_BCHW) - _similarity(teacher_BCHW)
    return difference_BB.square().sum() / len(student_BCHW) ** 2


def _similarity(x_BCHW: Tensor) -> Tensor:
    x_BX = x_BCHW.flatten(1)
    return functional.normalize(x_BX @ x_BX.T, dim=1)


@implements(SpKnobs)
class Sp(RelationMethod[SpKnobs]):
    """Matches which samples of a batch look alike."""

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        losses = [similarity_loss(s, t) for s, t in zip(students, teachers, strict=True)]
        return torch.stack(losses).sum()
