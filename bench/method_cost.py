"""Measures the cost of one training step with every method: `python -m bench.method_cost`.

Each method is trained beside `hard_target`, resnet32x4 teaching resnet8x4 on batches of 64 random
32x32 images, and compared with a step of `hard_target` alone immediately before it, so that other
work on the machine slows both. Weights are random; the time does not depend on them.

B: batch, C: channels, H, W: height and width, N: training samples.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median

import torch
from torch import nn

from bench.results_file import MethodCost, MethodCosts, this_hardware, write
from kdcore.data.batches import Adapter, Batch
from kdcore.features.probe import Probe
from kdcore.networks.zoo import build_network
from kdcore.objectives.base import MethodContext
from kdcore.runtime.device import ChannelsLast, Device
from kdcore.spec.methods import KNOBS
from kdcore.spec.recipe import Stage
from kdcore.spec.run import Network
from kdcore.training.stage import StageRun, StageSetup
from kdcore.training.teachers import Teacher

TEACHER, STUDENT = "resnet32x4", "resnet8x4"
CLASSES, SIDE, BATCH_SIZE = 100, 32, 64
TRAINING_IMAGES = 50_000
STEPS = 1000  # length of the stage; more steps than are ever run
BASE = "hard_target"


@dataclass
class Clock:
    """Durations in ms of one method's steps, and of the plain steps before each of them."""

    ms: list[float] = field(default_factory=list)
    base_ms: list[float] = field(default_factory=list)

    def cost(self) -> MethodCost:
        """Compute the medians."""
        ratios = [own / base for own, base in zip(self.ms, self.base_ms, strict=True)]
        return MethodCost(
            ms=round(median(self.ms), 1),
            hard_target_ms=round(median(self.base_ms), 1),
            ratio=round(median(ratios), 3),
        )


class Bench:
    """The teacher, context and data that all stages share; every stage has its own student."""

    def __init__(self) -> None:
        self._image_1CHW = torch.zeros(1, 3, SIDE, SIDE)
        spec = _spec(TEACHER)
        network = _network(TEACHER).requires_grad_(False).eval()
        self._adapter = nn.Sequential(Adapter(spec.input, 3), ChannelsLast())
        self._teacher = Teacher("teacher", spec, network, self._adapter)
        generator = torch.Generator().manual_seed(0)
        self.batch = Batch(
            torch.arange(BATCH_SIZE),
            torch.rand(BATCH_SIZE, 3, SIDE, SIDE, generator=generator),
            torch.arange(BATCH_SIZE) % CLASSES,
        )

    def stage(self, *methods: str) -> StageRun:
        """Build a stage with these objectives, ready to step."""
        student = _network(STUDENT)
        context = MethodContext(
            student=self._probe("student", student),
            teachers=(self._probe("teacher", self._teacher.network),),
            weights=(1.0,),
            batch_size=BATCH_SIZE,
            training_N=torch.arange(TRAINING_IMAGES),
            labels_N=torch.arange(TRAINING_IMAGES) % CLASSES,
        )
        objectives = [{"method": method} for method in methods]
        device = Device(torch.device("cpu"), "fp32")
        setup = StageSetup(context, (self._teacher,), self._adapter, device)
        stage = Stage.model_validate({"epochs": 1, "objectives": objectives})
        run = StageRun(setup, stage, student, STEPS)
        run.train_mode()
        return run

    def milliseconds(self, run: StageRun, step: int) -> float:
        """Run a step; returns its duration in ms."""
        start = time.perf_counter()
        run.step(self.batch, step)
        return (time.perf_counter() - start) * 1e3

    def _probe(self, name: str, network: nn.Module) -> Probe:
        return Probe(name, network, CLASSES, self._adapter(self._image_1CHW))


def _spec(architecture: str) -> Network:
    return Network(architecture=architecture, num_classes=CLASSES)


def _network(architecture: str) -> nn.Module:
    torch.manual_seed(0)
    network = build_network(_spec(architecture))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def measure(methods: tuple[str, ...], repeats: int) -> dict[str, MethodCost]:
    """Measure the methods, interleaved: every repeat runs one step of each, after a plain step.

    The first step of each is not counted.
    """
    bench = Bench()
    clocks = {method: Clock() for method in methods}
    with ExitStack() as open_stages:
        base = open_stages.enter_context(bench.stage(BASE))
        runs = {m: open_stages.enter_context(bench.stage(*_beside(m))) for m in methods}
        for run in (base, *runs.values()):
            bench.milliseconds(run, 0)
        for step in range(1, repeats + 1):
            for method, run in runs.items():
                clocks[method].base_ms.append(bench.milliseconds(base, step))
                clocks[method].ms.append(bench.milliseconds(run, step))
    return {method: clock.cost() for method, clock in clocks.items()}


def _beside(method: str) -> tuple[str, ...]:
    return (method,) if method == BASE else (method, BASE)


def table(costs: Mapping[str, MethodCost]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| method | ms per step | hard_target alone, ms | ratio |"
    yield "|---|---|---|---|"
    for method, cost in costs.items():
        yield f"| {method} | {cost.ms:.0f} | {cost.hard_target_ms:.0f} | {cost.ratio:.2f} |"


def main() -> None:
    """Measure, print the table and write the file."""
    parser = argparse.ArgumentParser(description="Measure the cost of a training step.")
    parser.add_argument("--repeats", type=int, default=3, help="steps per method (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: 1)")
    parser.add_argument("--methods", nargs="*", choices=list(KNOBS), default=list(KNOBS))
    parser.add_argument("--dry-run", action="store_true", help="do not write a file")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    costs = measure(tuple(given.methods), given.repeats)
    print("\n".join(table(costs)))
    if given.dry_run:
        return
    path = write(
        MethodCosts(
            date=datetime.now(UTC).date(),
            hardware=this_hardware(),
            teacher=TEACHER,
            student=STUDENT,
            batch_size=BATCH_SIZE,
            image_size=(SIDE, SIDE),
            training_images=TRAINING_IMAGES,
            repeats=given.repeats,
            methods=costs,
        )
    )
    print(f"written to {path.relative_to(path.parents[2])}")


if __name__ == "__main__":
    main()
