"""Neuron selectivity transfer (Huang & Wang 2017, "Like What You Like", eq. 6, polynomial kernel).

    loss = sum over levels of MMD^2 with k(x, y) = (x^T y)^2

between the sets of the teacher's and the student's neurons: every channel's responses over the map,
normalised to length 1. Mean over batch and pairs of channels. Of two sizes the larger is
average-pooled.
Departures from the paper: none.

B: batch, C: the student's channels, D: the teacher's, H, W: height and width, P: positions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.objectives.base import implements
from kdcore.objectives.map_base import MapMethod, same_size
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.maps import NstKnobs


@in_float32
def selectivity_loss(student_BCHW: Tensor, teacher_BDHW: Tensor) -> Tensor:
    """Squared maximum mean discrepancy between the sets of neurons, mean over the batch."""
    student_BCHW, teacher_BDHW = same_size(student_BCHW, teacher_BDHW)
    student_BCP, teacher_BDP = (
        functional.normalize(x.flatten(2), dim=2) for x in (student_BCHW, teacher_BDHW)
    )
    return (
        _kernel(teacher_BDP, teacher_BDP)
        + _kernel(student_BCP, student_BCP)
        - 2 * _kernel(student_BCP, teacher_BDP)
    )


def _kernel(a_BCP: Tensor, b_BDP: Tensor) -> Tensor:
    return torch.bmm(a_BCP, b_BDP.transpose(1, 2)).square().mean()


@implements(NstKnobs)
class Nst(MapMethod[NstKnobs]):
    """Matches what the neurons of every level respond to."""

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        losses = [selectivity_loss(s, t) for s, t in zip(students, teachers, strict=True)]
        return torch.stack(losses).sum()
