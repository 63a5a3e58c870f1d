"""Factor transfer (Kim et al. 2018, "Paraphrasing Complex Network", eq. 1 to 4).

    paraphraser: reconstruction = mean (t - decode(encode(t)))^2
    transfer:    loss = sum over levels of mean | f_t/|f_t|_2 - f_s/|f_s|_2 |

f_t = encode(t) is the teacher's factor, f_s = translate(s) the student's, flattened. The paper
trains the paraphraser first, without labels and without the student, as a stage with `part:
paraphraser` does. The `ft` of a later stage with the same teacher taps loads it and does not train
it; without such a stage the paraphraser is trained beside the translator, by the reconstruction
alone, and the term `ft_reconstruction` is added whatever the objective's weight.
Departures from the paper: a mean instead of a sum of the differences; of two sizes the larger is
average-pooled. `power` of `factor_loss` first reduces factors to the channels' mean of powers, as a
widely used re-implementation does; the method itself does not use it.

B: batch, C: channels, H, W: height and width.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method, MethodContext, implements
from kdcore.objectives.map_base import MapMethod, Pair, same_size
from kdcore.objectives.numerics import in_float32
from kdcore.spec.knobs.base import Knobs
from kdcore.spec.knobs.maps import FtKnobs

SLOPE = 0.1


@in_float32
def factor_loss(student_BCHW: Tensor, teacher_BCHW: Tensor, power: float | None = None) -> Tensor:
    """Mean absolute difference of the normalised factors, over batch and entries."""
    student_BCHW, teacher_BCHW = same_size(student_BCHW, teacher_BCHW)
    difference_BX = _factor(student_BCHW, power) - _factor(teacher_BCHW, power)
    return difference_BX.abs().mean()


def _factor(x_BCHW: Tensor, power: float | None) -> Tensor:
    if power is not None:
        x_BCHW = x_BCHW.abs().pow(power).mean(1, keepdim=True)
    return functional.normalize(x_BCHW.flatten(1), dim=1)


@in_float32
def reconstruction_loss(rebuilt_BCHW: Tensor, teacher_BCHW: Tensor) -> Tensor:
    """Mean squared error over batch, channels and positions."""
    return functional.mse_loss(rebuilt_BCHW, teacher_BCHW)


def _convolutions(*channels: int) -> nn.Sequential:
    """Make 3x3 convolutions with batch norm and leaky ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


class Paraphraser(nn.Module):
    """An autoencoder of one teacher map, whose code is the factor."""

    def __init__(self, teacher: int, factor: int) -> None:
        super().__init__()
        self.encoder = _convolutions(teacher, teacher, factor, factor)
        self.decoder = _convolutions(factor, factor, teacher, teacher)[:-1]

    def reconstruction(self, teacher_BCHW: Tensor) -> Tensor:
        """The loss that trains it."""
        return reconstruction_loss(self.decoder(self.encoder(teacher_BCHW)), teacher_BCHW)


class Factors(nn.Module):
    """The paraphraser of one level and, for the transfer, the student's translator."""

    def __init__(self, student: int, teacher: int, rate: float, translates: bool) -> None:
        super().__init__()
        factor = max(1, round(teacher * rate))
        self.paraphraser = Paraphraser(teacher, factor)
        self.translator = _convolutions(student, student, factor, factor) if translates else None


@implements(FtKnobs)
class Ft(MapMethod[FtKnobs]):
    """Matches the student's factors with the teacher's, or trains the paraphraser."""

    unweighted = frozenset({"ft_reconstruction"})

    def __init__(self, knobs: FtKnobs, context: MethodContext) -> None:
        super().__init__(knobs, context)
        self._alone = self.has_persistent_state = knobs.part == "paraphraser"
        self._loaded = False
        if self._alone:
            self.student_taps = ()

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        translates = self.knobs.part == "transfer"
        return nn.ModuleList(
            Factors(own.grid.channels, theirs.grid.channels, self.knobs.rate, translates)
            for own, theirs in pairs
        )

    def load_from_previous(self, previous: Sequence[Method[Knobs]]) -> None:
        """Load the paraphrasers that an earlier stage trained on the same taps."""
        trained = [
            m
            for m in previous
            if isinstance(m, Ft)
            and m.knobs.part == "paraphraser"
            and m.teacher_taps == self.teacher_taps
            and m.knobs.rate == self.knobs.rate
        ]
        if self._alone or not trained:
            return
        self._loaded = True
        for mine, theirs in zip(self._factors(), trained[-1]._factors(), strict=True):
            mine.paraphraser.load_state_dict(theirs.paraphraser.state_dict())
            mine.paraphraser.requires_grad_(False)

    def train(self, mode: bool = True) -> "Ft":
        """Like any module, but a loaded paraphraser stays in evaluation mode."""
        super().train(mode)
        for factors in self._factors() if self._loaded else ():
            factors.paraphraser.eval()
        return self

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """The term `ft`, and `ft_reconstruction` if the paraphraser is trained."""
        terms: dict[str, Tensor] = {}
        if not self._loaded:
            terms["ft_reconstruction"] = self._weighted(
                [self._reconstruct(n, teacher) for n, teacher in enumerate(teachers)]
            )
        return terms if self._alone else super().forward(student, teachers, batch) | terms

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        losses = []
        for level, s, t in zip(_levels(head), students, teachers, strict=True):
            assert level.translator is not None
            s, t = same_size(s, t)
            # Only the reconstruction trains the paraphraser.
            losses.append(factor_loss(level.translator(s), level.paraphraser.encoder(t).detach()))
        return torch.stack(losses).sum()

    def _reconstruct(self, number: int, teacher: Outputs) -> Tensor:
        maps = [level.read(teacher) for _, level in self.pairs[number]]
        levels = _levels(self.heads[number])
        losses = [x.paraphraser.reconstruction(t) for x, t in zip(levels, maps, strict=True)]
        return torch.stack(losses).sum()

    def _factors(self) -> list[Factors]:
        return _levels(self.heads)


def _levels(module: nn.Module) -> list[Factors]:
    return [m for m in module.modules() if isinstance(m, Factors)]
