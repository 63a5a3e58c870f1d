"""The overhaul of feature distillation (Heo et al. 2019, "A Comprehensive Overhaul").

    loss = 1/B sum over levels i of n of 2^-(n-1-i) sum d(r(x_s), max(x_t, m_c))
    d = 0 where student <= teacher <= 0, else (student - teacher)^2          (eq. 2, partial L2)

Both maps are read before the ReLU (section 3.4). m_c < 0 is the mean of the teacher's negative
responses: E[x | x < 0] of a normal distribution with the mean and deviation that the batch norm
before the ReLU gives channel c (eq. 1), or measured without a batch norm. r is a 1x1
convolution without bias and a batch norm (section 3.3). The teacher's batch norms use their batch's
statistics (section 3.5); their buffers do not change.
Departures from the paper: a student's map of another size is average-pooled or repeated (nearest)
to the teacher's.

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
from kdcore.objectives.map_base import MapMethod, Pair, pooled_to
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.maps import OverhaulKnobs

RARE = 0.001  # below this share of negative responses, -3 deviations stand for their mean
MEASURE_MOMENTUM = 0.1


@in_float32
def margin_of_norm(weight_C: Tensor, bias_C: Tensor) -> Tensor:
    """m_C: mean of the negative part of N(bias, weight^2); -3 |weight| where that part is rare.

    Never above 0; a channel with zero deviation has its mean if that is negative, else 0.
    """
    std_C, mean_C = weight_C.double().abs(), bias_C.double()
    safe_C = std_C.clamp(min=torch.finfo(torch.float64).tiny ** 0.5)
    z_C = mean_C / safe_C
    negative_C = 0.5 * torch.erfc(z_C / math.sqrt(2))
    density_C = torch.exp(-0.5 * z_C.square()) / math.sqrt(2 * math.pi)
    expected_C = mean_C - std_C * density_C / negative_C.clamp(min=RARE)
    return torch.where(negative_C > RARE, expected_C, -3 * std_C).float()


@in_float32
def partial_l2(student_BCHW: Tensor, teacher_BCHW: Tensor, margin_C: Tensor) -> Tensor:
    """Summed squared difference to the teacher's margin ReLU, except where nothing need be learnt:
    where the teacher is not positive and the student is already below it."""
    target_BCHW = torch.maximum(teacher_BCHW, margin_C.view(1, -1, 1, 1))
    counts_BCHW = (student_BCHW > target_BCHW) | (target_BCHW > 0)
    return ((student_BCHW - target_BCHW).square() * counts_BCHW).sum()


class Connector(nn.Module):
    """Maps the student's level to a teacher's, and holds the margins of the latter.

    `measured`: whether margins are a running mean of the negative responses, not from a batch norm.
    """

    margin_C: Tensor

    def __init__(self, student: int, teacher: int, norm: nn.Module | None) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(student, teacher, 1, bias=False)
        nn.init.normal_(self.convolution.weight, 0.0, math.sqrt(2.0 / teacher))
        self.norm = nn.BatchNorm2d(teacher)
        weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
        self.measured = not (isinstance(weight, Tensor) and isinstance(bias, Tensor))
        if isinstance(weight, Tensor) and isinstance(bias, Tensor):
            margin_C = margin_of_norm(weight.detach(), bias.detach()).clone()
        else:
            margin_C = torch.full((teacher,), float("nan"))
        self.register_buffer("margin_C", margin_C)

    def forward(self, student_BCHW: Tensor, teacher_BCHW: Tensor) -> Tensor:
        """Partial L2 of this level, summed."""
        if self.measured and self.training:
            self._measure(teacher_BCHW)
        size = teacher_BCHW.shape[2:]
        own_BCHW = _sized(self.norm(self.convolution(student_BCHW)), size)
        return partial_l2(own_BCHW, teacher_BCHW, self.margin_C.nan_to_num())

    def _measure(self, teacher_BCHW: Tensor) -> None:
        negative_BCHW = teacher_BCHW.detach().float().clamp(max=0)
        count_C = (negative_BCHW < 0).sum((0, 2, 3))
        mean_C = negative_BCHW.sum((0, 2, 3)) / count_C.clamp(min=1)
        mixed_C = torch.lerp(self.margin_C, mean_C, MEASURE_MOMENTUM)
        mixed_C = torch.where(self.margin_C.isnan(), mean_C, mixed_C)
        # A batch without negative responses gives no estimate of their mean.
        self.margin_C.copy_(torch.where(count_C > 0, mixed_C, self.margin_C))


def _sized(x_BCHW: Tensor, size: Sequence[int]) -> Tensor:
    height, width = size
    x_BCHW = pooled_to(x_BCHW, min(x_BCHW.shape[2], height), min(x_BCHW.shape[3], width))
    if x_BCHW.shape[2:] != (height, width):
        x_BCHW = functional.interpolate(x_BCHW, (height, width), mode="nearest")
    return x_BCHW


@implements(OverhaulKnobs)
class Overhaul(MapMethod[OverhaulKnobs]):
    """Partial L2 distance to every teacher level; the deepest counts most."""

    position = "before_relu"
    teacher_batch_norm = "train"

    def __init__(self, knobs: OverhaulKnobs, context: MethodContext) -> None:
        super().__init__(knobs, context)
        # A measured margin is a statistic of the whole batch.
        self.compares_samples = any(isinstance(m, Connector) and m.measured for m in self.modules())

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        return nn.ModuleList(
            Connector(own.grid.channels, theirs.grid.channels, teacher.norm_before(theirs.tap))
            for own, theirs in pairs
        )

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        assert isinstance(head, nn.ModuleList)
        total = torch.zeros((), device=students[0].device)
        for index, (connector, s, t) in enumerate(zip(head, students, teachers, strict=True)):
            total = total + connector(s, t) * 2.0 ** -(len(students) - 1 - index)
        return total / len(students[0])
