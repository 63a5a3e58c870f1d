"""Helpers for tests of methods: contexts, random maps at a method's taps, and checks.

B: batch, K: classes.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method, MethodContext
from kdcore.objectives.map_base import MapMethod
from kdcore.runtime.errors import RunError
from tests.kdcore.tiny import CLASSES, SIDE, Traps, probe

COUNT = 6  # samples of a batch
BATCH = Batch(torch.arange(COUNT), torch.zeros(COUNT, 1, SIDE, SIDE), torch.arange(COUNT) % CLASSES)
HALVES = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers, the same at every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def rotated(x_BC: Tensor) -> Tensor:
    """Rotate all vectors around the origin in the same way."""
    turn_CC, _ = torch.linalg.qr(random(x_BC.shape[1], x_BC.shape[1], seed=99))
    return torch.matmul(x_BC, turn_CC)


def between(
    *teachers: nn.Module,
    student: nn.Module | None = None,
    weights: tuple[float, ...] | None = None,
    **more: Any,
) -> MethodContext:
    """A context of a student and teachers (default: `Traps`); teachers are named a, b, ..."""
    networks = teachers or (Traps(),)
    probes = tuple(probe(t, name) for t, name in zip(networks, "abc", strict=False))
    return MethodContext(probe(student or Traps()), probes, weights or (1.0,) * len(probes), **more)


def passes(method: MapMethod[Any], seed: int = 0) -> tuple[Outputs, list[Outputs]]:
    """Random maps at every tap of a method, as the student's and every teacher's passes."""
    own = {level.tap: level.shape for pairs in method.pairs for level, _ in pairs}
    theirs = [{level.tap: level.shape for _, level in pairs} for pairs in method.pairs]
    student, *teachers = (
        Outputs(None, {t: random(COUNT, *shape, seed=seed + n) for t, shape in taps.items()})
        for n, taps in enumerate((own, *theirs))
    )
    return student, teachers


def each_loss(method: MapMethod[Any], student: Outputs, teachers: list[Outputs]) -> list[Tensor]:
    """The method's loss with each teacher alone."""
    losses = []
    for part, pairs, teacher in zip(method.heads, method.pairs, teachers, strict=True):
        own = [level.read(student) for level, _ in pairs]
        theirs = [level.read(teacher) for _, level in pairs]
        losses.append(method.compare(part, own, theirs, BATCH))
    return losses


def assert_weighted(make: Callable[[MethodContext], MapMethod[Any]], wide: int = 6) -> None:
    """Of two teachers, the second `wide` channels wide, the first counts three times as much."""
    method = make(between(Traps(), Traps(wide), weights=(3.0, 1.0))).eval()
    student, teachers = passes(method)
    first, second = each_loss(method, student, teachers)
    assert abs(first.item() - second.item()) > 1e-6
    loss = method(student, teachers, BATCH)[method.knobs.method]
    torch.testing.assert_close(loss, 0.75 * first + 0.25 * second)


def assert_mixed(make: Callable[[MethodContext], Method[Any]], loss: Callable[..., Tensor]) -> None:
    """Two teachers' class probabilities are mixed 3 to 1 before `loss(student_BK, log_probs_BK)`.

    At temperature 2.
    """
    method = make(between(Traps(), Traps(), weights=(3.0, 1.0)))
    z_BK, a_BK, b_BK = (random(COUNT, CLASSES, seed=n) for n in range(3))
    terms = method(Outputs(z_BK), [Outputs(a_BK), Outputs(b_BK)], BATCH)
    mixed_BK = 0.75 * torch.softmax(a_BK / 2, 1) + 0.25 * torch.softmax(b_BK / 2, 1)
    torch.testing.assert_close(terms, {method.knobs.method: loss(z_BK, mixed_BK.log())})


def assert_finite(loss: Tensor, *inputs: Tensor) -> None:
    """A finite float32 loss, whose gradients are finite too."""
    assert loss.dtype is torch.float32 and bool(torch.isfinite(loss))
    for grad in torch.autograd.grad(loss, inputs) if inputs else ():
        assert bool(torch.isfinite(grad).all())


def refusal(make: Callable[[], object]) -> RunError:
    """The error with which a method refuses what it is given."""
    with pytest.raises(RunError) as caught:
        make()
    return caught.value
