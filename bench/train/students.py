"""Many students of one teacher: what they cost against as many student-only trainings.

budget = count x (one student trained on labels alone) + one pass of the teacher + 10 %
"""

import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.recipes import Spec
from bench.train import ours
from bench.train.floor import fastest_s
from bench.train.task import BATCH, TEACHER, fresh, lay_out, load_arrays, normalised
from kdcore.runtime.device import open_device
from kdcore.spec.names import Phase

SPARE = 0.1
BUSY = (Phase.TEACHER, Phase.TRAINING)  # phases that learn, or make what is learnt from


@dataclass(frozen=True)
class Costs:
    """Seconds of training, start-up and export left out. `students_s` and `alone_s`: one a run."""

    students_s: list[float]
    alone_s: list[float]
    pass_s: float
    cached: bool

    @property
    def budget_s(self) -> float:
        """What all students may cost."""
        return (sum(self.alone_s) + self.pass_s) * (1 + SPARE)

    def numbers(self) -> dict[str, Any]:
        """For the JSON file."""
        return {**asdict(self), "budget_s": self.budget_s, "total_s": sum(self.students_s)}


def measure(
    work: Path, data: Path | None, count: int, images: int, epochs: int, threads: int, cache: Spec
) -> Costs:
    """A student of the teacher and one without it in turn, `count` times; seeds differ. With an
    empty `cache` every student runs the teacher anew."""
    inputs, outputs = work / "students-inputs", work / "students-outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    lay_out(inputs, data, images)
    students_s: list[float] = []
    alone_s: list[float] = []
    for seed in range(count):
        for recipe, spent in (("kd", students_s), ("from scratch", alone_s)):
            kept = cache if cache and recipe == "kd" else None
            order = ours.Order(recipe, images, threads, epochs=epochs, seed=seed, cache=kept)
            shared = None if kept is None else outputs
            folder = ours.carry_out(order, work / "students-run", inputs, shared)
            seconds = ours.result_of(folder)["seconds"]
            spent.append(sum(seconds.get(phase, 0.0) for phase in BUSY))
    return Costs(students_s, alone_s, _teacher_pass_s(inputs, images, threads), bool(cache))


def table(costs: Costs) -> Iterator[str]:
    """A line for what was spent and one for what may be."""
    total_s, count = sum(costs.students_s), len(costs.students_s)
    how = (
        "the teacher's outputs cached" if costs.cached else "no cache: the teacher runs every time"
    )
    yield "| | seconds |"
    yield "|---|---|"
    yield f"| {count} students by kd, {how} | {total_s:.1f} |"
    yield f"| {count} trainings without a teacher | {sum(costs.alone_s):.1f} |"
    yield f"| one pass of the teacher | {costs.pass_s:.1f} |"
    yield f"| the budget: both and 10 % | {costs.budget_s:.1f} |"
    yield f"| spent of the budget | {total_s / costs.budget_s:.2f} |"


def _teacher_pass_s(inputs: Path, images: int, threads: int) -> float:
    """One forward pass over the images, channels last, bfloat16 where `auto` is that."""
    device = open_device("cpu", "auto", threads)
    teacher = fresh(TEACHER, 1).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images_NHWC, _ = load_arrays(inputs)
    x_BCHW = normalised(images_NHWC[:BATCH]).contiguous(memory_format=torch.channels_last)

    def forward() -> Tensor:
        with torch.no_grad(), device.autocast():
            logits_BK: Tensor = teacher(x_BCHW)
        return logits_BK

    return fastest_s(forward, 5) * images / BATCH
