"""Fused optimizers built from the spec, learning-rate schedules, and the guard against NaN."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from kdcore.runtime.named_tensors import within
from kdcore.spec.recipe import AdamW, Multistep, Schedule, Sgd

ADAM_EPS = 1e-8  # torch's default


class FusedOptimizer:
    """Base of the optimizers, each a few kernels for all parameters, which a step may skip.

    These call the kernels of `torch.optim` with `fused=True` directly, and give the same bits.
    Unlike torch's fused SGD, they also work if the first step is skipped, or if a parameter gets
    its first gradient later. `torch.optim` imports the compiler at its first step, which takes a
    second of every run.

    `state`: tensors of each trained parameter, by name. `found_inf`: 1.0 on the device to skip the
    step; `None` makes it. `torch.amp.GradScaler` reads `param_groups` and sets `found_inf` and
    `grad_scale`, by which the gradients were multiplied, for the length of a step.
    """

    _step_supports_amp_scaling = True  # read by torch.amp.GradScaler
    found_inf: Tensor | None = None
    grad_scale: Tensor

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        assert len(set(parameters)) == len(parameters), "a parameter would be updated twice"
        self.parameters = tuple(parameters)
        self.param_groups = [{"params": list(parameters)}]
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        trained = [p for p in self.parameters if p.grad is not None]
        if trained:
            self._update(trained)

    def _update(self, parameters: list[Tensor]) -> None:
        raise NotImplementedError

    def _state_of(self, parameters: Sequence[Tensor], key: str) -> list[Tensor]:
        return [self.state[p][key] for p in parameters]


class FusedSgd(FusedOptimizer):
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""

    def __init__(self, parameters: Sequence[Tensor], spec: Sgd) -> None:
        super().__init__(parameters, spec.learning_rate)
        self._spec = spec
        if spec.momentum:
            self.state = {p: {"momentum_buffer": _zeros_like(p)} for p in parameters}

    def _update(self, parameters: list[Tensor]) -> None:
        torch._fused_sgd_(
            parameters,
            _gradients(parameters),
            self._state_of(parameters, "momentum_buffer") if self._spec.momentum else [],
            weight_decay=self._spec.weight_decay,
            momentum=self._spec.momentum,
            lr=self.learning_rate,
            dampening=0.0,
            nesterov=self._spec.nesterov,
            maximize=False,
            is_first_step=False,  # the momentum starts at zero
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=self.found_inf,
        )


class FusedAdamW(FusedOptimizer):
    """Adam with decoupled weight decay of matrices; vectors (biases, scales of norms) have none."""

    def __init__(self, parameters: Sequence[Tensor], spec: AdamW) -> None:
        super().__init__(parameters, spec.learning_rate)
        self._spec = spec
        self.state = {
            p: {
                "step": torch.zeros((), device=p.device),
                "exp_avg": _zeros_like(p),
                "exp_avg_sq": _zeros_like(p),
            }
            for p in parameters
        }

    def _update(self, parameters: list[Tensor]) -> None:
        matrices = [p for p in parameters if p.ndim > 1]
        vectors = [p for p in parameters if p.ndim <= 1]
        for group, decay in ((matrices, self._spec.weight_decay), (vectors, 0.0)):
            if group:
                self._update_group(group, decay)

    def _update_group(self, parameters: list[Tensor], weight_decay: float) -> None:
        steps = self._state_of(parameters, "step")
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            parameters,
            _gradients(parameters),
            self._state_of(parameters, "exp_avg"),
            self._state_of(parameters, "exp_avg_sq"),
            [],
            steps,
            lr=self.learning_rate,
            beta1=self._spec.betas[0],
            beta2=self._spec.betas[1],
            weight_decay=weight_decay,
            eps=ADAM_EPS,
            amsgrad=False,
            maximize=False,
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=self.found_inf,
        )
        if self.found_inf is not None:  # a skipped step does not count
            torch._foreach_sub_(steps, [self.found_inf] * len(steps))


def make_optimizer(spec: Sgd | AdamW, parameters: Mapping[str, nn.Parameter]) -> FusedOptimizer:
    """Build the optimizer of those `parameters` that are trained.

    Weight decay: SGD decays everything, as the papers do; AdamW spares vectors. Parameters without
    a gradient do not change at all.
    """
    trained = [p for p in parameters.values() if p.requires_grad]
    return FusedSgd(trained, spec) if isinstance(spec, Sgd) else FusedAdamW(trained, spec)


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


def optimizer_tensors(
    optimizer: FusedOptimizer, parameters: Mapping[str, nn.Parameter]
) -> dict[str, Tensor]:
    """The optimizer's state as `<parameter>/<key>`."""
    return {
        f"{name}/{key}": value
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: FusedOptimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Restore what `optimizer_tensors` returned, in each parameter's own memory format."""
    for name, parameter in parameters.items():
        for key, value in within(name, tensors).items():
            optimizer.state[parameter][key].copy_(value)


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


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    found = [p.grad for p in parameters if p.grad is not None]
    assert len(found) == len(parameters)
    return found


def _zeros_like(parameter: Tensor) -> Tensor:
    """Zeros in the parameter's memory format, which the kernels expect."""
    return torch.zeros_like(parameter, requires_grad=False)
