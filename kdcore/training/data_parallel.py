"""How processes share a batch: each learns from its slice, and all end with the same weights.

The loss is the mean over the global batch, whatever the number of processes. Where every process
computes the mean over its own slice, the mean of their gradients is its gradient. Batch norms take
the statistics of the global batch, and methods that compare samples get the whole of it, gathered.
The sums and the gathering are differentiable: what a slice changes in another process's loss is in
its gradient.

B: batch (of the slice, or whole), C: channels, X: any further dimensions.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from kdcore.data.batches import Batch
from kdcore.data.micro_batches import part_of
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method
from kdcore.objectives.objectives import GatherFn, Loss
from kdcore.runtime.distributed import World
from kdcore.spec.knobs.base import Knobs
from kdcore.training.checkpoint import Snapshot


class _Total(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


class _Gathered(torch.autograd.Function):
    """The slices of all processes in order, as one.

    Every process computes the same from it, so the sum of their gradients for a slice is this
    process's, times their number.
    """

    @staticmethod
    def forward(ctx: Any, x_BX: Tensor) -> Tensor:
        x_BX = x_BX.contiguous()
        slices = [torch.empty_like(x_BX) for _ in range(distributed.get_world_size())]
        distributed.all_gather(slices, x_BX)
        ctx.rows = len(x_BX)
        return torch.cat(slices)

    @staticmethod
    def backward(ctx: Any, gradient_BX: Tensor) -> Tensor:
        own = distributed.get_rank() * ctx.rows
        return gradient_BX[own : own + ctx.rows] * distributed.get_world_size()


def _total(x: Tensor) -> Tensor:
    total: Tensor = _Total.apply(x)  # type: ignore[no-untyped-call]
    return total


def _gathered(x_BX: Tensor) -> Tensor:
    whole_BX: Tensor = _Gathered.apply(x_BX)  # type: ignore[no-untyped-call]
    return whole_BX


def _summed(x: Tensor) -> Tensor:
    x = x.contiguous().clone()
    distributed.all_reduce(x)
    return x


def shared_batch_norm(
    x_BCX: Tensor,
    running_mean_C: Tensor | None,
    running_var_C: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm` in training, with the statistics of all processes."""
    assert training
    wide_BCX = x_BCX.float()
    others = [0, *range(2, x_BCX.ndim)]
    by_channel = (1, -1, *[1] * (x_BCX.ndim - 2))
    count = x_BCX.numel() // x_BCX.shape[1] * distributed.get_world_size()
    # In two passes: one from sums of squares would lose the digits of a small variance.
    mean_C = _total(wide_BCX.sum(others)) / count
    centred_BCX = wide_BCX - mean_C.view(by_channel)
    var_C = _total(centred_BCX.square().sum(others)) / count
    if running_mean_C is not None and running_var_C is not None:
        with torch.no_grad():
            running_mean_C.lerp_(mean_C, momentum)
            running_var_C.lerp_(var_C * (count / max(1, count - 1)), momentum)
    y_BCX = centred_BCX * torch.rsqrt(var_C + eps).view(by_channel)
    if weight is not None:
        y_BCX = y_BCX * weight.view(by_channel)
    if bias is not None:
        y_BCX = y_BCX + bias.view(by_channel)
    result_BCX: Tensor = y_BCX.to(x_BCX.dtype)
    return result_BCX


class SharedNorms(TorchFunctionMode):
    """Inside, every batch norm in training mode takes the statistics of all processes, whatever
    module it is in: networks keep their modules, names and files."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.batch_norm and kwargs.get("training"):
            return shared_batch_norm(*args, **kwargs)
        return func(*args, **kwargs)


class DataParallel:
    """What a stage needs to train with the other processes of its run."""

    def __init__(self, world: World) -> None:
        self._world = world

    def slice(self, batch: Batch) -> Batch:
        """This process's share of a global batch."""
        return part_of(batch, self._world.rank, self._world.size)

    def widen(self, whole: Batch) -> GatherFn:
        """What gathers, for a method, all that it reads of a global batch."""

        def gathered(
            method: Method[Knobs], student: Outputs, teachers: Sequence[Outputs]
        ) -> tuple[Outputs, Sequence[Outputs], Batch]:
            own = _gather(student, method.student_taps, method.student_logits)
            theirs = [
                _gather(outputs, taps, method.teacher_logits)
                for outputs, taps in zip(teachers, method.teacher_taps, strict=True)
            ]
            return own, theirs, whole

        return gathered

    def mean_loss(self, loss: Loss) -> Loss:
        """The loss of the global batch, for all to see (without gradient)."""
        values = _summed(torch.stack([loss.total.detach(), *loss.terms.values()]))
        total, *terms = (values / self._world.size).unbind()
        return Loss(total, dict(zip(loss.terms, terms, strict=True)))

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the mean of all gradients. The same parameters have one in each."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        flat = torch.cat([g.reshape(-1) for g in gradients])
        distributed.all_reduce(flat)
        flat /= self._world.size
        means = torch.split(flat, [g.numel() for g in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def same(self, module: nn.Module) -> None:
        """Give the module the primary's parameters and buffers."""
        for value in (*module.parameters(), *module.buffers()):
            held = value.detach().contiguous()
            distributed.broadcast(held, 0)
            value.detach().copy_(held)


def share_snapshot(
    world: World, load: Callable[[], tuple[Snapshot | None, list[str]]]
) -> tuple[Snapshot | None, list[str]]:
    """What `load` gives on the primary, for every process."""
    if world.size == 1:
        return load()
    said: list[Any] = [None, None]
    if world.primary:
        snapshot, complaints = load()
        if snapshot is not None:
            said = [safetensors.torch.save(dict(snapshot.tensors)), json.dumps(snapshot.facts)]
        distributed.broadcast_object_list(said)
        return snapshot, complaints
    distributed.broadcast_object_list(said)
    tensors, facts = said
    if tensors is None:
        return None, []
    loaded = safetensors.torch.load(tensors)
    if "random/cuda.0" in loaded:  # the primary's device
        loaded[f"random/cuda.{world.local_rank}"] = loaded["random/cuda.0"]
    return Snapshot(loaded, json.loads(facts)), []


def _gather(outputs: Outputs, taps: Iterable[Any], logits: bool) -> Outputs:
    logits_BK = None
    if logits and outputs.logits_BK is not None:
        logits_BK = _gathered(outputs.logits_BK)
    features = {tap: _gathered(outputs.features[tap]) for tap in dict.fromkeys(taps)}
    return Outputs(logits_BK, features)
