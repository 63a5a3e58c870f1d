"""The base of methods that compare the student's maps with a teacher's, level by level.

B: batch, C: channels, H, W: height and width.
"""

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.levels import Level
from kdcore.features.probe import Probe
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method, MethodContext
from kdcore.runtime.errors import RunError, pointing
from kdcore.spec.knobs.base import MapKnobs, Tap, TapPosition
from kdcore.spec.spec_codes import SpecCode

K = TypeVar("K", bound=MapKnobs)
Pair = tuple[Level, Level]
"""A level of the student, and the teacher's level that it is compared with."""


class MapMethod(Method[K], Generic[K]):
    """Compares paired levels with every teacher; averages the losses by the teachers' weights.

    A subclass defines what it trains per teacher (`build`) and how it compares maps (`compare`).
    Without taps, the deepest `levels` of both networks are paired, deepest with deepest. Raises
    RunError `no_default_tap`, `tap_count_mismatch`, `not_a_map` and those of
    `kdcore.features.taps`.
    """

    student_logits = False
    teacher_logits = False
    position: ClassVar[TapPosition] = "after"
    """Position of the default taps."""
    vectors: ClassVar[bool] = False
    """Whether a tap may give a vector, that is, a map of one position."""

    def __init__(self, knobs: K, context: MethodContext) -> None:
        super().__init__(knobs, context)
        self.pairs = [self._pair(context.student, teacher) for teacher in context.teachers]
        self.heads = nn.ModuleList()
        for pairs, teacher in zip(self.pairs, context.teachers, strict=True):
            self.heads.append(self.build(pairs, teacher, context))
        levels = (student for pairs in self.pairs for student, _ in pairs)
        self.student_taps = tuple(dict.fromkeys(level.tap for level in levels))
        self.teacher_taps = tuple(
            tuple(teacher.tap for _, teacher in pairs) for pairs in self.pairs
        )
        self._shares = [w / sum(context.weights) for w in context.weights]

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        """Build what is trained for one teacher; raise RunError if pairs cannot be compared."""
        return nn.Identity()

    def compare(
        self, head: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        """Compute the unweighted loss of one teacher, a float32 scalar, from paired maps_BCHW."""
        raise NotImplementedError

    def forward(
        self, student: Outputs, teachers: Sequence[Outputs], batch: Batch
    ) -> dict[str, Tensor]:
        """One term, named like the method."""
        losses = []
        for head, pairs, teacher in zip(self.heads, self.pairs, teachers, strict=True):
            own = [level.read(student) for level, _ in pairs]
            theirs = [level.read(teacher) for _, level in pairs]
            losses.append(self.compare(head, own, theirs, batch))
        return {self.knobs.method: self._weighted(losses)}

    def _weighted(self, losses: Sequence[Tensor]) -> Tensor:
        """Average one loss per teacher by the teachers' weights."""
        weighted = [share * loss for share, loss in zip(self._shares, losses, strict=True)]
        return torch.stack(weighted).sum()

    def _pair(self, student: Probe, teacher: Probe) -> list[Pair]:
        own = self._levels(student, self.knobs.student_taps, "student_taps")
        theirs = self._levels(teacher, self.knobs.teacher_taps, "teacher_taps")
        given = [taps for taps in (self.knobs.student_taps, self.knobs.teacher_taps) if taps]
        count = len(given[0]) if given else min(len(own), len(theirs), self.knobs.levels)
        if count > min(len(own), len(theirs)):
            raise RunError(
                SpecCode.TAP_COUNT_MISMATCH,
                f"{count} taps are given, but {student.name} has {len(own)} levels and "
                f"{teacher.name} {len(theirs)}; give as many taps for both",
                pointer="/teacher_taps" if self.knobs.student_taps else "/student_taps",
            )
        return list(zip(own[-count:], theirs[-count:], strict=True))

    def _levels(self, probe: Probe, taps: tuple[Tap, ...] | None, knob: str) -> tuple[Level, ...]:
        if taps is None:
            with pointing(f"/{knob}"):
                return probe.levels(self.position)
        levels = []
        for index, tap in enumerate(taps):
            with pointing(f"/{knob}/{index}"):
                level = probe.level(tap)
                if level.grid.layout == "vector" and not self.vectors:
                    raise RunError(
                        SpecCode.NOT_A_MAP,
                        f"{self.knobs.method} compares maps, but {level} of {probe.name} is a "
                        "vector; name another module",
                    )
                levels.append(level)
        return tuple(levels)


class RelationMethod(MapMethod[K], Generic[K]):
    """Compares relations between the samples of a batch; widths may differ, taps may be vectors."""

    vectors = True
    compares_samples = True


def same_size(a_BCHW: Tensor, b_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Average-pool both maps to the smaller height and the smaller width of the two."""
    height = min(a_BCHW.shape[2], b_BCHW.shape[2])
    width = min(a_BCHW.shape[3], b_BCHW.shape[3])
    return pooled_to(a_BCHW, height, width), pooled_to(b_BCHW, height, width)


def pooled_to(x_BCHW: Tensor, height: int, width: int) -> Tensor:
    """Average-pool the map to a size, unless it already has it."""
    if x_BCHW.shape[2:] == (height, width):
        return x_BCHW
    return functional.adaptive_avg_pool2d(x_BCHW, (height, width))


def embedding(x_BCHW: Tensor) -> Tensor:
    """Mean of the map over its positions, x_BC, as a classifier after global pooling reads it."""
    return x_BCHW.mean((2, 3))
