"""Teachers at work: frozen, in evaluation mode, each behind its own input adapter.

B: batch, C: channels, H, W: height and width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.objectives import Objectives
from kdcore.spec.run import Network
from kdcore.taps import Outputs, Tapped

BatchNormMode = Literal["eval", "train"]


@dataclass(frozen=True)
class Teacher:
    """A trained network, its own input adapter, and how much it counts."""

    name: str
    spec: Network
    network: nn.Module
    adapter: nn.Module
    weight: float = 1.0
    batch_norm: BatchNormMode = "eval"
    size_bytes: int = 0


@contextmanager
def batch_norm_mode(network: nn.Module, mode: BatchNormMode) -> Iterator[None]:
    """Everything in evaluation mode; with `train`, batch norms use their batch's statistics.

    Their running statistics are not tracked meanwhile, so no buffer changes; dropout stays off.
    """
    network.eval()
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and mode == "train"]
    tracking = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, tracked in zip(norms, tracking, strict=True):
            norm.training, norm.track_running_stats = False, tracked


class Lesson:
    """What a stage reads of its teachers: `lesson(images_BCHW)` runs each as far as needed."""

    def __init__(self, teachers: Sequence[Teacher], objectives: Objectives) -> None:
        self._teachers = teachers
        self._modes = [objectives.batch_norm(t.batch_norm) for t in teachers]
        self._read = objectives.teacher_logits
        self._tapped = [
            Tapped(t.network, taps, logits=objectives.teacher_logits, name=t.name)
            for t, taps in zip(teachers, objectives.teacher_taps, strict=True)
        ]

    def __call__(self, images_BCHW: Tensor) -> list[Outputs]:
        """Outputs of every teacher, without gradients; empty where nothing is read of it."""
        with torch.no_grad():
            return [
                self._run(index, images_BCHW)
                if self._read or self._tapped[index].taps
                else Outputs(None)
                for index in range(len(self._teachers))
            ]

    def close(self) -> None:
        """Remove the hooks."""
        for tapped in self._tapped:
            tapped.close()

    def _run(self, index: int, images_BCHW: Tensor) -> Outputs:
        teacher = self._teachers[index]
        with batch_norm_mode(teacher.network, self._modes[index]):
            return self._tapped[index](teacher.adapter(images_BCHW))
