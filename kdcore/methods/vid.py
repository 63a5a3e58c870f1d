"""Variational information distillation (Ahn et al. 2019, eq. 4 and 6).

    loss = sum over levels of mean 1/2 ((t - mu(s))^2 / v_c + log v_c),  v_c = softplus(a_c) + 1e-5

a bound on the mutual information: the teacher's map t is normally distributed around mu, a
regression from the student's (three 1x1 convolutions with ReLUs), with a trained variance per
channel. Mean over batch, channels and positions. Of two sizes the larger is average-pooled.
Departures from the paper: none.

B: batch, C: channels, H, W: height and width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.objectives.base import MethodContext, implements
from kdcore.objectives.map_base import MapMethod, Pair, same_size
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.maps import VidKnobs

LEAST_VARIANCE = 1e-5


@in_float32
def information_loss(mean_BCHW: Tensor, teacher_BCHW: Tensor, log_scale_C: Tensor) -> Tensor:
    """Negative log-likelihood of the teacher's map, up to a constant, mean over all entries."""
    variance_C11 = (functional.softplus(log_scale_C) + LEAST_VARIANCE).view(-1, 1, 1)
    difference_BCHW = mean_BCHW - teacher_BCHW
    return (0.5 * (difference_BCHW.square() / variance_C11 + variance_C11.log())).mean()


class Regression(nn.Module):
    """Predicts the mean of the teacher's map from the student's, and a variance per channel."""

    def __init__(self, student: int, teacher: int, variance: float) -> None:
        super().__init__()
        self.regressor = nn.Sequential(
            nn.Conv2d(student, teacher, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher, teacher, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(teacher, teacher, 1, bias=False),
        )
        spread = max(variance - LEAST_VARIANCE, LEAST_VARIANCE)
        start = spread + math.log(-math.expm1(-spread))  # the inverse of softplus, without overflow
        self.log_scale = nn.Parameter(torch.full((teacher,), start))

    def forward(self, student_BCHW: Tensor, teacher_BCHW: Tensor) -> Tensor:
        """The loss of this level."""
        student_BCHW, teacher_BCHW = same_size(student_BCHW, teacher_BCHW)
        return information_loss(self.regressor(student_BCHW), teacher_BCHW, self.log_scale)


@implements(VidKnobs)
class Vid(MapMethod[VidKnobs]):
    """Maximises the information in every student level about the teacher's."""

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        return nn.ModuleList(
            Regression(own.grid.channels, theirs.grid.channels, self.knobs.initial_variance)
            for own, theirs in pairs
        )

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        assert isinstance(head, nn.ModuleList)
        losses = [level(s, t) for level, s, t in zip(head, students, teachers, strict=True)]
        return torch.stack(losses).sum()
