"""Builds optimizers and learning-rate schedules from the spec."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kdcore.runtime.named_tensors import within
from kdcore.spec.recipe import AdamW, Multistep, Schedule, Sgd


def make_optimizer(spec: Sgd | AdamW, parameters: Mapping[str, nn.Parameter]) -> Optimizer:
    """Build the optimizer of `parameters`, fused, so that a step can be masked on the device.

    Weight decay: SGD decays everything, as the papers do; AdamW spares vectors (biases, scales of
    norms). Parameters without a gradient do not change at all.
    """
    trained = [p for p in parameters.values() if p.requires_grad]
    if isinstance(spec, Sgd):
        optimizer = torch.optim.SGD(
            trained,
            lr=spec.learning_rate,
            momentum=spec.momentum,
            weight_decay=spec.weight_decay,
            nesterov=spec.nesterov,
            fused=True,
        )
        if spec.momentum:
            # torch's fused SGD leaves the momentum uninitialised when its first step is masked.
            for p in trained:
                optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
        return optimizer
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": spec.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=spec.betas, fused=True)


def learning_rate(
    schedule: Schedule, start: float, step: int, steps: int, steps_per_epoch: int
) -> float:
    """The learning rate of step `step` (from 0) of a stage of `steps`.

    Warm-up rises linearly and reaches `start` at its last step. Multistep: multiplied by gamma from
    each milestone on, a fraction of the whole stage. Cosine: from `start` right after the warm-up
    to `final_fraction` of it at the end of the stage.
    """
    warmup = min(round(schedule.warmup_epochs * steps_per_epoch), steps)
    if step < warmup:
        return start * (step + 1) / warmup
    if isinstance(schedule, Multistep):
        passed = sum(step >= m * steps for m in schedule.milestones)
        return start * schedule.gamma**passed
    progress = (step - warmup) / max(1, steps - warmup)
    floor = schedule.final_fraction
    return start * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(
    optimizer: Optimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """The optimizer's state as `<parameter>/<key>`."""
    return {
        f"{name}/{key}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_optimizer(
    optimizer: Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Restore what `optimizer_tensors` returned, in each parameter's own memory format."""
    for name, parameter in parameters.items():
        for key, value in within(name, tensors).items():
            held = value.to(parameter.device)
            if value.shape == parameter.shape:
                held = torch.empty_like(parameter).detach().copy_(held)
            optimizer.state[parameter][key] = held


class FiniteGuard:
    """Masks optimizer steps from the first loss on that is not finite, without a sync.

    `mask` works on the device; `first_bad` waits for the device, so call it rarely.
    """

    def __init__(self, device: torch.device) -> None:
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=device)

    def mask(self, loss: Tensor, step: int) -> Tensor:
        """1.0 if this step must not be made, else 0.0, as fused optimizers read it."""
        bad = ~torch.isfinite(loss.detach()) & (self._first_bad < 0)
        self._first_bad = torch.where(bad, step, self._first_bad)
        return (self._first_bad >= 0).float()

    def first_bad(self) -> int | None:
        """The first step whose loss was not finite, or None."""
        step = int(self._first_bad.item())
        return step if step >= 0 else None
