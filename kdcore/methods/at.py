"""Attention transfer (Zagoruyko & Komodakis 2016, "Paying more attention to attention", eq. 2).

    Q = sum_c |F_c|^p, flattened;  loss = sum over levels of mean (Q_s/|Q_s|_2 - Q_t/|Q_t|_2)^2

mean over batch and positions. If two maps differ in size, the larger is average-pooled.
Departures from the paper: a mean of squares in place of a norm, as in the authors' own code.

B: batch, C: channels, H, W: height and width, P: positions.
"""

from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.objectives.base import implements
from kdcore.objectives.map_base import MapMethod, same_size
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.maps import AtKnobs

EPSILON = 1e-12


@in_float32
def attention_loss(student_BCHW: Tensor, teacher_BCHW: Tensor, power: float = 2.0) -> Tensor:
    """Mean squared difference of the normalised attention maps, over batch and positions."""
    student_BCHW, teacher_BCHW = same_size(student_BCHW, teacher_BCHW)
    difference_BP = _attention(student_BCHW, power) - _attention(teacher_BCHW, power)
    return difference_BP.square().mean()


def _attention(x_BCHW: Tensor, power: float) -> Tensor:
    # Scaling has no effect on the result, but keeps high powers of large values from overflowing.
    # The clamp is for powers below 1, whose slope at 0, a ReLU's output, is not finite.
    x_BCHW = x_BCHW.abs()
    x_BCHW = x_BCHW / x_BCHW.detach().amax((1, 2, 3), keepdim=True).clamp(min=EPSILON)
    x_BCHW = x_BCHW.clamp(min=EPSILON)
    return functional.normalize(x_BCHW.pow(power).mean(1).flatten(1), dim=1)


@implements(AtKnobs)
class At(MapMethod[AtKnobs]):
    """Matches where the networks are active, summed over levels."""

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        losses = [
            attention_loss(s, t, self.knobs.power) for s, t in zip(students, teachers, strict=True)
        ]
        return sum(losses[1:], losses[0])
