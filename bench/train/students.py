"""Compares the cost of many students of one teacher with trainings without a teacher.

budget = (count x one student trained on labels alone + one pass of the teacher) + 10 %
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
COUNTED = (Phase.TEACHER, Phase.TRAINING)  # the phases whose time is counted


@dataclass(frozen=True)
class Costs:
    """Training times, without start-up and export; `students_s`, `alone_s`: one per run."""

    students_s: list[float]
    alone_s: list[float]
    pass_s: float
    cached: bool

    @property
    def budget_s(self) -> float:
        """The time that all students together may take."""
        return (sum(self.alone_s) + self.pass_s) * (1 + SPARE)

    def numbers(self) -> dict[str, Any]:
        """All numbers, for the JSON file."""
        return {**asdict(self), "budget_s": self.budget_s, "total_s": sum(self.students_s)}


def measure(
    work: Path, data: Path | None, count: int, images: int, epochs: int, threads: int, cache: Spec
) -> Costs:
    """Train a student with the teacher and one without in turn, `count` times with new seeds.

    With an empty `cache`, every run computes the teacher's outputs again.
    """
    inputs, outputs = work / "students-inputs", work / "students-outputs"
    shutil.rmtree(outputs, ignore_errors=True)
    lay_out(inputs, data, images)
    students_s: list[float] = []
    alone_s: list[float] = []
    for seed in range(count):
        for recipe, spent in (("kd", students_s), ("from scratch", alone_s)):
            kept = cache if cache and recipe == "kd" else None
            options = ours.RunOptions(recipe, images, threads, epochs=epochs, seed=seed, cache=kept)
            shared = None if kept is None else outputs
            folder = ours.carry_out(options, work / "students-run", inputs, shared)
            seconds = ours.result_of(folder)["seconds"]
            spent.append(sum(seconds.get(phase, 0.0) for phase in COUNTED))
    return Costs(students_s, alone_s, _teacher_pass_s(inputs, images, threads), bool(cache))


def table(costs: Costs) -> Iterator[str]:
    """The lines of a Markdown table: the time spent and the budget."""
    total_s, count = sum(costs.students_s), len(costs.students_s)
    how = "with cached teacher outputs" if costs.cached else "without a cache"
    yield "| | seconds |"
    yield "|---|---|"
    yield f"| {count} students with kd, {how} | {total_s:.1f} |"
    yield f"| {count} trainings without a teacher | {sum(costs.alone_s):.1f} |"
    yield f"| one pass of the teacher | {costs.pass_s:.1f} |"
    yield f"| the budget: the two rows above + 10 % | {costs.budget_s:.1f} |"
    yield f"| share of the budget spent | {total_s / costs.budget_s:.2f} |"


def _teacher_pass_s(inputs: Path, images: int, threads: int) -> float:
    """Time a forward pass over the images, channels last, with `auto` precision."""
    device = open_device("cpu", "auto", threads)
    teacher = fresh(TEACHER, 1).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images_NHWC, _ = load_arrays(inputs)
    x_BCHW = normalised(images_NHWC[:BATCH]).contiguous(memory_format=torch.channels_last)

    def forward() -> Tensor:
        with torch.no_grad(), device.autocast():
            logits_BK: Tensor = teacher(x_BCHW)
        return logits_BK

    return fastest_s(forward, 5) * images / BATCH
