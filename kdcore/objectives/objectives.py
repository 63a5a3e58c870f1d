"""Computes the loss of a stage: its methods and their weights as the stage goes on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.methods import (
    ab,
    at,
    cc,
    crd,
    dist,
    dkd,
    fitnet,
    fsp,
    ft,
    hard_target,
    kd,
    nst,
    overhaul,
    pkt,
    reviewkd,
    rkd,
    simkd,
    sp,
    standardized_kd,
    vid,
)
from kdcore.objectives.base import METHODS, Method, MethodContext
from kdcore.runtime.errors import pointing
from kdcore.runtime.named_tensors import under, within
from kdcore.spec.knobs.base import Knobs, Tap
from kdcore.spec.recipe import Stage

# Importing a method's module registers it; a new method is added here.
MODULES = (
    *(hard_target, kd, dkd, dist, standardized_kd),
    *(fitnet, at, fsp, overhaul, reviewkd, ab, ft, nst, vid, simkd),
    *(sp, pkt, cc, rkd, crd),
)


@dataclass(frozen=True)
class Loss:
    """`total`: the weighted sum, to be minimised. `terms`: unweighted values by name."""

    total: Tensor
    terms: dict[str, Tensor]


GatherFn = Callable[
    [Method[Knobs], Outputs, Sequence[Outputs]], tuple[Outputs, Sequence[Outputs], Batch]
]
"""Gathers, for a method that compares samples, the outputs of the global batch, and that batch."""


def mean_of(losses: Sequence[Loss]) -> Loss:
    """Mean loss of batches of equal size."""
    if len(losses) == 1:
        return losses[0]
    terms = {
        name: torch.stack([loss.terms[name] for loss in losses]).mean() for name in losses[0].terms
    }
    return Loss(torch.stack([loss.total for loss in losses]).mean(), terms)


def weight_at(knobs: Knobs, progress: float, epochs: int) -> float:
    """The objective's weight at `progress` (0: first step of the stage, 1: last) of `epochs`.

    Moves linearly from `weight` to `weight_end`, times a warm-up that rises linearly from 0.
    """
    end = knobs.weight if knobs.weight_end is None else knobs.weight_end
    weight = knobs.weight + (end - knobs.weight) * progress
    if knobs.warmup_epochs:
        weight *= min(1.0, progress * epochs / knobs.warmup_epochs)
    return weight


class Objectives(nn.Module):
    """A stage's methods, built and checked; their parameters are trained with the student's.

    Raises RunError, with a pointer under `pointer`, if one does not fit the networks or the data.
    """

    def __init__(self, stage: Stage, context: MethodContext, pointer: str) -> None:
        super().__init__()
        self.stage = stage
        self.methods = nn.ModuleList()
        for index, knobs in enumerate(stage.objectives):
            with pointing(f"{pointer}/objectives/{index}"):
                self.methods.append(METHODS[type(knobs)](knobs, context))
        methods = self._methods()
        taps_of_teacher = zip(*(m.teacher_taps for m in methods), strict=True)
        self.student_taps: tuple[Tap, ...] = tuple(t for m in methods for t in m.student_taps)
        self.teacher_taps = tuple(tuple(t for taps in of for t in taps) for of in taps_of_teacher)
        self.student_read = any(m.student_logits or m.student_taps for m in methods)
        self.student_logits = any(m.student_logits for m in methods)
        self.teacher_logits = any(m.teacher_logits for m in methods)

    def forward(
        self,
        student: Outputs,
        teachers: Sequence[Outputs],
        batch: Batch,
        progress: float,
        gather: GatherFn | None = None,
    ) -> Loss:
        """The loss of one batch, or of a process's slice of it, for which `gather` is given.

        The term of a second objective with the same method is named `method_2`.
        """
        terms: dict[str, Tensor] = {}
        weighted: list[Tensor] = []
        for method in self._methods():
            weight = weight_at(method.knobs, progress, self.stage.epochs)
            read = (student, teachers, batch)
            if gather is not None and method.compares_samples:
                read = gather(method, student, teachers)
            for name, value in method(*read).items():
                terms[_unused(name, terms)] = value.detach()
                weighted.append(value if name in method.unweighted else weight * value)
        return Loss(sum(weighted[1:], weighted[0]), terms)

    def load_from_previous(self, previous: "Sequence[Objectives]") -> None:
        """Let every method load what methods of earlier stages have learnt."""
        methods = [m for objectives in previous for m in objectives._methods()]
        for method in self._methods():
            method.load_from_previous(methods)

    def persistent_state(self) -> dict[str, Tensor]:
        """What methods of later stages may load, for a checkpoint."""
        state: dict[str, Tensor] = {}
        for index, method in enumerate(self._methods()):
            if method.has_persistent_state:
                state |= under(str(index), method.state_dict())
        return state

    def restore(self, persistent_state: Mapping[str, Tensor]) -> None:
        """Restore what `persistent_state` returned."""
        for index, method in enumerate(self._methods()):
            if own := within(str(index), persistent_state):
                method.load_state_dict(own)

    def batch_norm(self, wanted: Literal["eval", "train"]) -> Literal["eval", "train"]:
        """Mode of a teacher's batch norms: what a method demands, else what the spec wants."""
        demands = [m.teacher_batch_norm for m in self._methods() if m.teacher_batch_norm]
        return demands[0] if demands else wanted

    def _methods(self) -> list[Method[Knobs]]:
        return [m for m in self.methods if isinstance(m, Method)]


def _unused(name: str, taken: dict[str, Tensor]) -> str:
    if name not in taken:
        return name
    return next(f"{name}_{n}" for n in range(2, len(taken) + 3) if f"{name}_{n}" not in taken)
