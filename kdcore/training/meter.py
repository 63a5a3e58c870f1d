"""Averages losses on the device between reports, and measures the speed of training."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdcore.objectives.objectives import Loss
from kdcore.spec.names import Metric

WINDOW_S = 5.0


class Meter:
    """Means of the loss and its terms since the last `take`; only `take` waits for the device."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sum: Tensor | None = None
        self._count = 0

    def add(self, loss: Loss) -> None:
        """Add one step's loss."""
        values = torch.stack([loss.total.detach(), *loss.terms.values()])
        self._names = (Metric.LOSS, *(f"{Metric.LOSS}/{name}" for name in loss.terms))
        self._sum = values if self._sum is None else self._sum.to(values.device) + values
        self._count += 1

    def take(self) -> dict[str, float]:
        """Return `loss` (weighted) and `loss/<term>` (unweighted), and start over."""
        assert self._sum is not None, "nothing was added"
        means = (self._sum / self._count).tolist()
        self._sum, self._count = None, 0
        return dict(zip(self._names, means, strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """The sum since the last `take`, for a checkpoint."""
        return {} if self._sum is None else {"sum": self._sum}

    def facts(self) -> dict[str, Any]:
        """The number of steps in that sum."""
        return {"count": self._count}

    def load(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Restore what `tensors` and `facts` returned."""
        self._count = facts["count"]
        self._sum = tensors.get("sum")


class Pace:
    """The speed of a run of `steps`, by the wall clock of its last few seconds."""

    def __init__(self, steps: int, batch_size: int) -> None:
        self._steps = steps
        self._batch_size = batch_size
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, step: int) -> tuple[float, float | None, float | None]:
        """Fraction done, images per second, seconds left; the latter two from the second call."""
        now_s = time.monotonic()
        self._seen.append((now_s, step))
        while len(self._seen) > 2 and now_s - self._seen[1][0] > WINDOW_S:
            self._seen.popleft()
        (then_s, before), fraction = self._seen[0], step / self._steps
        if step <= before or now_s <= then_s:
            return fraction, None, None
        steps_per_s = (step - before) / (now_s - then_s)
        return fraction, steps_per_s * self._batch_size, (self._steps - step) / steps_per_s
