"""Knowledge Review (Chen et al. 2021, "Distilling Knowledge via Knowledge Review").

From the deepest student level to the shallowest, each is fused with the result of the deeper ones
(ABF, section 3.3: a 1x1 convolution to a middle width, the deeper result upsampled, two attention
maps that mix both, a 3x3 convolution to the teacher's channels) and compared with the teacher's
level by the hierarchical context loss (HCL, section 3.4: mean squared errors at full size and
pooled to 4, 2 and 1, with weights 1, 1/2, 1/4 and 1/8, divided by their sum). Summed over levels;
the pooled embedding is one more, the deepest. Default taps are read before the ReLU.
Departures from the paper: maps need not be square: a pooled size is dropped unless the shorter side
is larger; a level's output has the size of its teacher level.

B: batch, C: channels, M: middle width, H, W: height and width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.objectives.base import MethodContext, implements
from kdcore.objectives.map_base import MapMethod, Pair, embedding
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.maps import ReviewkdKnobs

POOLED_SIZES = (4, 2, 1)
WIDEST_MIDDLE = 512


@in_float32
def hierarchical_context_loss(student_BCHW: Tensor, teacher_BCHW: Tensor) -> Tensor:
    """HCL of one level: weighted mean of mean squared errors at full and at pooled sizes."""
    # Pooling is linear, so the difference is pooled; from the size before if that divides evenly.
    difference_BCHW = even_BCHW = student_BCHW - teacher_BCHW
    loss = difference_BCHW.square().mean()
    total, weight = 1.0, 1.0
    height, width = difference_BCHW.shape[2:]
    for size in POOLED_SIZES:
        if size >= min(height, width):
            continue
        weight /= 2
        if height % size or width % size:
            pooled_BCHW = functional.adaptive_avg_pool2d(difference_BCHW, size)
        else:
            window = (even_BCHW.shape[2] // size, even_BCHW.shape[3] // size)
            pooled_BCHW = even_BCHW = functional.avg_pool2d(even_BCHW, window)
        loss = loss + weight * pooled_BCHW.square().mean()
        total += weight
    return loss / total


class Fusion(nn.Module):
    """Attention-based fusion of a student level with the result of the deeper levels.

    `forward` returns the map for the teacher, output_BCHW, and the one for the next shallower
    level, fused_BMHW. The deepest level has nothing to fuse with, and no attention.
    """

    def __init__(self, student: int, middle: int, teacher: int, deepest: bool) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(student, middle, 1, bias=False), nn.BatchNorm2d(middle)
        )
        self.attention = (
            None if deepest else nn.Sequential(nn.Conv2d(2 * middle, 2, 1), nn.Sigmoid())
        )
        self.expand = nn.Sequential(
            nn.Conv2d(middle, teacher, 3, padding=1, bias=False), nn.BatchNorm2d(teacher)
        )
        for module in (*self.reduce, *self.expand):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)

    def forward(
        self, student_BCHW: Tensor, deeper_BMHW: Tensor | None, size: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """`size`: height and width of the teacher's level and of the output."""
        own_BMHW: Tensor = self.reduce(student_BCHW)
        if self.attention is not None:
            assert deeper_BMHW is not None
            deeper_BMHW = functional.interpolate(deeper_BMHW, own_BMHW.shape[2:], mode="nearest")
            mix_B2HW = self.attention(torch.cat((own_BMHW, deeper_BMHW), 1))
            own_BMHW = own_BMHW * mix_B2HW[:, :1] + deeper_BMHW * mix_B2HW[:, 1:]
        if own_BMHW.shape[2:] != torch.Size(size):
            own_BMHW = functional.interpolate(own_BMHW, tuple(size), mode="nearest")
        return self.expand(own_BMHW), own_BMHW


class Review(nn.ModuleList):
    """One fusion per level, shallow to deep; the last is the pooled embedding's.

    `rectified`: whether the student's and the teacher's deepest map enter a ReLU, which is then
    applied before pooling, as in the network.
    """

    def __init__(self, fusions: Sequence[Fusion], rectified: tuple[bool, bool]) -> None:
        super().__init__(fusions)
        self.rectified = rectified

    def forward(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
        """HCL summed over levels."""
        own, theirs = (
            [*maps, _pooled(maps[-1], rectified)]
            for maps, rectified in zip((students, teachers), self.rectified, strict=True)
        )
        loss = torch.zeros((), device=own[0].device)
        fused: Tensor | None = None
        for fusion, s, t in reversed(list(zip(self, own, theirs, strict=True))):
            output, fused = fusion(s, fused, t.shape[2:])
            loss = loss + hierarchical_context_loss(output, t)
        return loss


def _pooled(x_BCHW: Tensor, rectified: bool) -> Tensor:
    """The pooled embedding as a map of one position."""
    return embedding(functional.relu(x_BCHW) if rectified else x_BCHW)[:, :, None, None]


@implements(ReviewkdKnobs)
class Reviewkd(MapMethod[ReviewkdKnobs]):
    """Every student level, fused with all deeper ones, learns the teacher's level.

    A batch needs several samples, since a batch norm follows the pooled embedding.
    """

    position = "before_relu"

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        deepest_own, deepest_theirs = (level.grid.channels for level in pairs[-1])
        middle = self.knobs.middle_width or min(WIDEST_MIDDLE, deepest_own)
        channels = [(own.grid.channels, theirs.grid.channels) for own, theirs in pairs]
        channels.append((deepest_own, deepest_theirs))  # the pooled level
        fusions = [
            Fusion(own, middle, theirs, deepest=index == len(channels) - 1)
            for index, (own, theirs) in enumerate(channels)
        ]
        own, theirs = (level.tap.position == "before_relu" for level in pairs[-1])
        return Review(fusions, (own, theirs))

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        loss: Tensor = head(students, teachers)
        return loss
