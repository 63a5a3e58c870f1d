"""Shares a batch between processes: each learns from its slice, and all get the same weights.

The loss is the mean over the global batch, whatever the number of processes. Each process computes
the mean over its own slice; the mean of their gradients is the gradient of that loss. Batch norms
use the statistics of the global batch, and methods that compare samples get all of it, gathered.
The sums and the gathering are differentiable, so the effect of a slice on another process's loss is
part of its gradient.

B: batch (of the slice, or global), C: channels, X: any further dimensions.
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
from kdcore.data.micro_batches import slice_of
from kdcore.features.taps import Outputs
from kdcore.objectives.base import Method
from kdcore.objectives.objectives import GatherFn, Loss
from kdcore.runtime.distributed import World
from kdcore.spec.knobs.base import Knobs
from kdcore.training.checkpoint import Snapshot


class _AllReduce(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_reduced(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _all_reduced(gradient)


class _AllGather(torch.autograd.Function):
    """The slices of all processes, concatenated in order.

    Every process computes the same from them, so the sum of their gradients for a slice is this
    process's gradient times their number.
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


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _AllReduce.apply(x)  # type: ignore[no-untyped-call]
    return total


def _gather(x_BX: Tensor) -> Tensor:
    whole_BX: Tensor = _AllGather.apply(x_BX)  # type: ignore[no-untyped-call]
    return whole_BX


def _all_reduced(x: Tensor) -> Tensor:
    x = x.contiguous().clone()
    distributed.all_reduce(x)
    return x


def sync_batch_norm(
    x_BCX: Tensor,
    running_mean_C: Tensor | None,
    running_var_C: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` in training mode, with the statistics of all processes."""
    assert training
    wide_BCX = x_BCX.float()
    others = [0, *range(2, x_BCX.ndim)]
    by_channel = (1, -1, *[1] * (x_BCX.ndim - 2))
    count = x_BCX.numel() // x_BCX.shape[1] * distributed.get_world_size()
    # In two passes: sums of squares in one pass would lose the digits of a small variance.
    mean_C = _sum(wide_BCX.sum(others)) / count
    centred_BCX = wide_BCX - mean_C.view(by_channel)
    var_C = _sum(centred_BCX.square().sum(others)) / count
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


class SyncBatchNorms(TorchFunctionMode):
    """Inside, every batch norm in training mode uses the statistics of all processes.

    Unlike torch's SyncBatchNorm this replaces no modules: networks keep their names and files.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.batch_norm and kwargs.get("training"):
            return sync_batch_norm(*args, **kwargs)
        return func(*args, **kwargs)


class DataParallel:
    """Exchanges what a stage needs with the other processes of its run."""

    def __init__(self, world: World) -> None:
        self._world = world

    def slice(self, batch: Batch) -> Batch:
        """This process's share of a global batch."""
        return slice_of(batch, self._world.rank, self._world.size)

    def gather_fn(self, whole: Batch) -> GatherFn:
        """A function that gathers, for a method, everything it reads of a global batch."""

        def gather(
            method: Method[Knobs], student: Outputs, teachers: Sequence[Outputs]
        ) -> tuple[Outputs, Sequence[Outputs], Batch]:
            own = _gather_outputs(student, method.student_taps, method.student_logits)
            theirs = [
                _gather_outputs(outputs, taps, method.teacher_logits)
                for outputs, taps in zip(teachers, method.teacher_taps, strict=True)
            ]
            return own, theirs, whole

        return gather

    def mean_loss(self, loss: Loss) -> Loss:
        """The loss of the global batch, the same in all processes, without gradient."""
        values = _all_reduced(torch.stack([loss.total.detach(), *loss.terms.values()]))
        total, *terms = (values / self._world.size).unbind()
        return Loss(total, dict(zip(loss.terms, terms, strict=True)))

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace the gradients by their mean over processes.

        In every process the same parameters must have gradients.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return
        flat = torch.cat([g.reshape(-1) for g in gradients])
        distributed.all_reduce(flat)
        flat /= self._world.size
        means = torch.split(flat, [g.numel() for g in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def broadcast(self, module: nn.Module) -> None:
        """Copy the primary's parameters and buffers into the module."""
        for value in (*module.parameters(), *module.buffers()):
            held = value.detach().contiguous()
            distributed.broadcast(held, 0)
            value.detach().copy_(held)


def share_snapshot(
    world: World, load: Callable[[], tuple[Snapshot | None, list[str]]]
) -> tuple[Snapshot | None, list[str]]:
    """Call `load` on the primary and return its snapshot in every process, warnings in one."""
    if world.size == 1:
        return load()
    sent: list[Any] = [None, None]
    if world.primary:
        snapshot, warnings = load()
        if snapshot is not None:
            sent = [safetensors.torch.save(dict(snapshot.tensors)), json.dumps(snapshot.facts)]
        distributed.broadcast_object_list(sent)
        return snapshot, warnings
    distributed.broadcast_object_list(sent)
    tensors, facts = sent
    if tensors is None:
        return None, []
    loaded = safetensors.torch.load(tensors)
    if "random/cuda.0" in loaded:  # of the primary's device
        loaded[f"random/cuda.{world.local_rank}"] = loaded["random/cuda.0"]
    return Snapshot(loaded, json.loads(facts)), []


def _gather_outputs(outputs: Outputs, taps: Iterable[Any], logits: bool) -> Outputs:
    logits_BK = None
    if logits and outputs.logits_BK is not None:
        logits_BK = _gather(outputs.logits_BK)
    features = {tap: _gather(outputs.features[tap]) for tap in dict.fromkeys(taps)}
    return Outputs(logits_BK, features)
