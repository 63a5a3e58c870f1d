"""Activation boundaries (Heo et al. 2018, "Knowledge Transfer via Distillation of Activation
Boundaries", eq. 4 and 5).

    loss = 3/(1000 B) sum over levels i of n of 2^-(n-1-i) sum of
           (x_s + m)^2 where teacher <= 0 and x_s > -m;  (x_s - m)^2 where teacher > 0 and x_s <= m

x_s is the student's map before its ReLU, after a connector (1x1 convolution and batch norm); m is
the margin. What counts is on which side of zero a neuron is, not how far from it. The paper trains
this alone in a first stage, and then on the labels (or kd) in a second.
Departures from the paper: the constant 3/1000, of a widely used re-implementation, only scales; a
student's map of another size is average-pooled to the smaller of both.

B: batch, C: channels, H, W: height and width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.objectives.base import MethodContext, implements
from kdcore.objectives.map_base import MapMethod, Pair, same_size
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.maps import AbKnobs

SCALE = 3 / 1000


@in_float32
def boundary_loss(student_BCHW: Tensor, teacher_BCHW: Tensor, margin: float) -> Tensor:
    """Summed squared distance to the margin of neurons that are not on the teacher's side of it."""
    below_BCHW = (student_BCHW + margin).square() * ((student_BCHW > -margin) & (teacher_BCHW <= 0))
    above_BCHW = (student_BCHW - margin).square() * ((student_BCHW <= margin) & (teacher_BCHW > 0))
    return (below_BCHW + above_BCHW).sum()


@in_float32
def boundaries_loss(
    students: Sequence[Tensor], teachers: Sequence[Tensor], margin: float
) -> list[Tensor]:
    """The weighted term of each level, divided by the batch size; to be summed."""
    scale = SCALE / len(students[0])
    return [
        boundary_loss(s, t, margin) * scale * 2.0 ** -(len(students) - 1 - index)
        for index, (s, t) in enumerate(zip(students, teachers, strict=True))
    ]


@implements(AbKnobs)
class Ab(MapMethod[AbKnobs]):
    """Matches on which side of zero every neuron is; the deepest level counts most."""

    position = "before_relu"

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        return nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(own.grid.channels, theirs.grid.channels, 1, bias=False),
                nn.BatchNorm2d(theirs.grid.channels),
            )
            for own, theirs in pairs
        )

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        assert isinstance(head, nn.ModuleList)
        sized = [
            same_size(connector(s), t)
            for connector, s, t in zip(head, students, teachers, strict=True)
        ]
        own, theirs = [s for s, _ in sized], [t for _, t in sized]
        return torch.stack(boundaries_loss(own, theirs, self.knobs.margin)).sum()
