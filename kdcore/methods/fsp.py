"""Flow of solution procedure, "A Gift from Knowledge Distillation" (Yim et al. 2017, eq. 1 and 2).

    G = F1 F2^T / (H W);  loss = sum over pairs of consecutive maps of mean (G_s - G_t)^2

mean over batch and the entries of G. Both channel counts of a pair must be the teacher's: the paper
pairs networks of equal widths. Of two maps of different size the larger is average-pooled (the
paper max-pools). The paper uses it alone in a first stage, before a stage of `hard_target`.
Departures from the paper: a mean instead of a sum over the entries (weights do not depend on
widths); average pooling, as in the reference code.

B: batch, C: channels of the first map, D: of the second, H, W: height and width.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.objectives.base import MethodContext, implements
from kdcore.objectives.map_base import MapMethod, Pair, same_size
from kdcore.objectives.numerics import in_float32
from kdcore.runtime.errors import RunError, refuse
from kdcore.spec.fit import unequal_channels
from kdcore.spec.knobs.maps import FspKnobs
from kdcore.spec.spec_codes import SpecCode


@in_float32
def fsp_matrix(first_BCHW: Tensor, second_BDHW: Tensor) -> Tensor:
    """G_BCD, the products of both maps' channels, mean over positions."""
    first_BCHW, second_BDHW = same_size(first_BCHW, second_BDHW)
    positions = first_BCHW.shape[2] * first_BCHW.shape[3]
    # A matrix product: broadcasting gives the same, but 300 times slower and with gigabytes.
    return torch.bmm(first_BCHW.flatten(2), second_BDHW.flatten(2).transpose(1, 2)) / positions


@in_float32
def fsp_loss(
    student_first_BCHW: Tensor,
    student_second_BDHW: Tensor,
    teacher_first_BCHW: Tensor,
    teacher_second_BDHW: Tensor,
) -> Tensor:
    """Mean squared difference of one pair's FSP matrices, over batch and entries."""
    difference_BCD = fsp_matrix(student_first_BCHW, student_second_BDHW) - fsp_matrix(
        teacher_first_BCHW, teacher_second_BDHW
    )
    return difference_BCD.square().mean()


@implements(FspKnobs)
class Fsp(MapMethod[FspKnobs]):
    """Matches the products of consecutive levels. Raises RunError `fsp_channels`, `fsp_levels`."""

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        if len(pairs) < 2:
            raise RunError(
                SpecCode.FSP_LEVELS,
                f"fsp compares the flow between maps: it needs at least 2 taps, not {len(pairs)}",
            )
        own, theirs = zip(*((s.grid.channels, t.grid.channels) for s, t in pairs), strict=True)
        refuse(unequal_channels(self.knobs, own, teacher.name, theirs))
        return nn.Identity()

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        flows = zip(pairwise(students), pairwise(teachers), strict=True)
        losses = [fsp_loss(*student, *teacher) for student, teacher in flows]
        return sum(losses[1:], losses[0])
