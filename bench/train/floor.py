"""Computes the floor of a training step: `python -m bench.train.floor --threads N`.

The floor is the larger of two times: the step's operations divided by the machine's matrix rate,
and its bytes divided by the machine's bandwidth; both rates are measured. Operations are those of
convolutions and matrix products in our own step, two per multiply-add (a pass that ends at the
deepest tap is counted up to there). Bytes are those that convolutions cannot avoid even if all else
were free: forward reads input and weights and writes the output; backward reads input, weights and
the output's gradient (twice) and writes the gradients of input and weights; the optimizer reads and
writes weights and momentum.

B: batch, C: channels, H, W: height and width.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bench import method_cost
from bench.train.task import BATCH, METHODS

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
GEMM_SIDES = (1024, 2048)
CONVOLUTIONS = ((64, 32), (128, 16), (256, 8))  # channels and side in the teacher's three stages
COPIED_BYTES = 256 * 2**20
TRIES = 5


@dataclass(frozen=True)
class Work:
    """The work of one step: operations, values moved, and the teacher's share of both."""

    operations: float
    values: float
    teacher_operations: float
    teacher_values: float

    def floor_ms(self, rates: "Rates", precision: str, cached: bool) -> tuple[float, float]:
        """Times of arithmetic and of memory in ms; without the teacher if it is cached."""
        operations = self.operations - (self.teacher_operations if cached else 0)
        values = self.values - (self.teacher_values if cached else 0)
        width = 2 if precision == "bf16" else 4
        return 1e3 * operations / rates.best(precision), 1e3 * values * width / rates.bandwidth


@dataclass(frozen=True)
class Rates:
    """Operations per second of matrix products and convolutions, bytes per second of a copy."""

    gemm: dict[str, float]
    convolution: dict[str, float]
    bandwidth: float

    def best(self, precision: str) -> float:
        """The higher rate of operations."""
        return max(self.gemm[precision], self.convolution[precision])


class Values:
    """Counts the values that convolutions and linear layers move, using forward hooks."""

    def __init__(self, *modules: nn.Module) -> None:
        self.count = 0.0
        self._handles = [
            layer.register_forward_hook(self._add)
            for module in modules
            for layer in module.modules()
            if isinstance(layer, (nn.Conv2d, nn.Linear))
        ]

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _add(self, layer: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        weights = sum(p.numel() for p in layer.parameters(recurse=False))
        self.count += args[0].numel() + out.numel() + weights
        if out.requires_grad:
            self.count += 2 * args[0].numel() + 2 * out.numel() + 2 * weights
            self.count += 4 * 2 * weights  # weights and momentum, float32


def work(method: str) -> Work:
    """Count the work of our step with the method and `hard_target`, as in bench.method_cost."""
    bench = method_cost.Bench()
    whole, values = _count(bench, bench.stage(*dict.fromkeys((method, "hard_target"))), True)
    _, own_values = _count(bench, bench.stage(*dict.fromkeys((method, "hard_target"))), False)
    teacher = _teacher_operations(bench, method)
    return Work(whole, values, teacher, values - own_values)


def _count(bench: method_cost.Bench, run: Any, teacher: bool) -> tuple[float, float]:
    modules = [run._student, run.objectives, *(run._teacher_forward._networks if teacher else [])]
    counter, values = FlopCounterMode(display=False), Values(*modules)
    with run, counter:
        run.step(bench.batch, 0)
    values.close()
    return float(counter.get_total_flops()), values.count


def _teacher_operations(bench: method_cost.Bench, method: str) -> float:
    counter = FlopCounterMode(display=False)
    with bench.stage(*dict.fromkeys((method, "hard_target"))) as run, counter:
        run._teacher_forward(bench.batch)
    return float(counter.get_total_flops())


def measure_rates(tries: int = TRIES) -> Rates:
    """Measure the machine's rates with this process's threads."""
    gemm = {n: max(_gemm(d, side, tries) for side in GEMM_SIDES) for n, d in DTYPES.items()}
    convolution = {
        name: max(_convolution(dtype, channels, side, tries) for channels, side in CONVOLUTIONS)
        for name, dtype in DTYPES.items()
    }
    return Rates(gemm, convolution, _bandwidth(tries))


def fastest_s(act: Callable[[], object], tries: int) -> float:
    """Time `act`; returns the fastest try, because other work can only slow one down."""
    act()
    found = []
    for _ in range(tries):
        start = time.perf_counter()
        act()
        found.append(time.perf_counter() - start)
    return min(found)


def _gemm(dtype: torch.dtype, side: int, tries: int) -> float:
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    return 2 * side**3 / fastest_s(lambda: a @ b, tries)


def _convolution(dtype: torch.dtype, channels: int, side: int, tries: int) -> float:
    layout = torch.channels_last
    x_BCHW = torch.randn(BATCH, channels, side, side).to(dtype).to(memory_format=layout)
    weight = torch.randn(channels, channels, 3, 3).to(dtype).to(memory_format=layout)
    operations = 2 * BATCH * side**2 * channels**2 * 9
    return operations / fastest_s(lambda: nn.functional.conv2d(x_BCHW, weight, padding=1), tries)


def _bandwidth(tries: int) -> float:
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / fastest_s(lambda: target.copy_(source), tries)


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(
        description="Compute the floor of a training step on this machine."
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    counted = {method: asdict(work(method)) for method in given.methods}
    print(json.dumps({"rates": asdict(measure_rates()), "work": counted}))


if __name__ == "__main__":
    main()
