"""Hints from a teacher's middle layer (FitNets; Romero et al. 2014, section 2.2).

    loss = mean (a(r(x_guided)) - x_hint)^2

mean over batch, channels and positions. r is a convolution, without batch norm, from the guided
layer's channels and size to the hint's; a is the hint layer's own nonlinearity.

Alone in a stage this is the paper's first stage: both passes end at the deepest tap, so only r and
the student up to its guided layer learn; the second stage (`kd` and `hard_target`, with the paper's
soft weight falling linearly from 4 to 1) starts from there. Beside an objective that reads logits
it is the joint form that many implementations call FitNets, which is not in the paper. At the
weight they use (100), a regressor without batch norm diverges: set `regressor_batch_norm`.
Departures from the paper: mean instead of half the sum of squares (weights do not depend on sizes);
if the sizes are not multiples of each other, the map is resized, then convolved 1x1; several
teachers have a regressor each, and their losses are averaged by the teachers' weights.

B: batch, C: channels, H, W: height and width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.levels import Level
from kdcore.features.probe import Probe
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method, MethodContext, implements
from kdcore.objectives.numerics import in_float32
from kdcore.runtime.errors import RunError, pointing
from kdcore.spec.knobs.base import Tap
from kdcore.spec.knobs.maps import FitnetKnobs
from kdcore.spec.spec_codes import SpecCode


@in_float32
def hint_loss(regressed_BCHW: Tensor, hint_BCHW: Tensor) -> Tensor:
    """Mean squared error over batch, channels and positions."""
    return functional.mse_loss(regressed_BCHW, hint_BCHW)


def make_regressor(guided_CHW: tuple[int, ...], hint_CHW: tuple[int, ...]) -> nn.Module:
    """Make a convolution from the guided map's channels and size to the hint's.

    Equal sizes: 1x1. Shrinking by a whole number n: kernel 2n - 1, stride n. Growing by n:
    transposed, stride n. Anything else: bilinear resize, then 1x1.
    """
    (c_in, *size_in), (c_out, *size_out) = guided_CHW, hint_CHW
    if size_in == size_out:
        return nn.Conv2d(c_in, c_out, 1)
    shrink = _multiples(size_in, size_out)
    if shrink:
        kernel, padding = tuple(2 * n - 1 for n in shrink), tuple(n - 1 for n in shrink)
        return nn.Conv2d(c_in, c_out, kernel, shrink, padding)  # type: ignore[arg-type]
    grow = _multiples(size_out, size_in)
    if grow:
        padding = tuple(n // 2 for n in grow)
        kernel = tuple(n + 2 * (n // 2) for n in grow)
        return nn.ConvTranspose2d(c_in, c_out, kernel, grow, padding)  # type: ignore[arg-type]
    resize = nn.Upsample(size=tuple(size_out), mode="bilinear", align_corners=False)
    return nn.Sequential(resize, nn.Conv2d(c_in, c_out, 1))


def _multiples(large: Sequence[int], small: Sequence[int]) -> tuple[int, ...]:
    """How many times each of `small` divides `large`; empty if one does not."""
    if any(big % little for big, little in zip(large, small, strict=True)):
        return ()
    return tuple(big // little for big, little in zip(large, small, strict=True))


@implements(FitnetKnobs)
class Fitnet(Method[FitnetKnobs]):
    """Regresses every teacher's hint from the student's guided layer.

    Raises RunError `not_a_map` if a tap does not give a map of channels, height and width.
    """

    student_logits = False
    teacher_logits = False

    def __init__(self, knobs: FitnetKnobs, context: MethodContext) -> None:
        super().__init__(knobs, context)
        with pointing("/guided"):
            self.guided = _choose(knobs.guided, context.student)
        self.hints: list[Level] = []
        self.regressors = nn.ModuleList()
        for teacher in context.teachers:
            with pointing("/hint"):
                hint = _choose(knobs.hint, teacher)
                _check_maps(context.student, self.guided, teacher, hint)
                act = teacher.nonlinearity(hint.tap) or nn.Identity()
            self.hints.append(hint)
            regressor = make_regressor(self.guided.shape, hint.shape)
            norm = nn.BatchNorm2d(hint.shape[0]) if knobs.regressor_batch_norm else nn.Identity()
            self.regressors.append(nn.Sequential(regressor, norm, act))
        self.student_taps = (self.guided.tap,)
        self.teacher_taps = tuple((hint.tap,) for hint in self.hints)
        self._shares = [w / sum(context.weights) for w in context.weights]

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """The term `fitnet`."""
        guided_BCHW = self.guided.read(student)
        losses = [
            share * hint_loss(regressor(guided_BCHW), hint.read(teacher))
            for share, regressor, teacher, hint in zip(
                self._shares, self.regressors, teachers, self.hints, strict=True
            )
        ]
        return {"fitnet": torch.stack(losses).sum()}


def _choose(tap: Tap | None, probe: Probe) -> Level:
    """The tap, or by default the middle level, where the paper places hint and guided layer."""
    if tap is not None:
        return probe.level(tap)
    levels = probe.levels()
    return levels[(len(levels) - 1) // 2]


def _check_maps(student: Probe, guided: Level, teacher: Probe, hint: Level) -> None:
    if "vector" not in (guided.grid.layout, hint.grid.layout):
        return
    raise RunError(
        SpecCode.NOT_A_MAP,
        f"fitnet needs maps of channels, height and width, but {guided} of {student.name} or "
        f"{hint} of {teacher.name} is a vector; name other modules",
    )
