"""The student's weights averaged over the steps of a stage: what is judged and kept of it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

WARM_UP = 9  # steps after which half is kept; see `decay_at`


def decay_at(step: int, decay: float) -> float:
    """What the average keeps of itself after step `step` (from 0): `decay`, less in the beginning,
    so that it forgets the initial weights however short the stage is.

    Rises as (1 + step) / (10 + step), as in TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (1 + WARM_UP + step))


class Average:
    """An exponential moving average of a network's parameters and batch-norm statistics.

    The statistics are averaged, not taken from the network, because its last ones belong to its
    last weights. All else (counts, constants) is the network's own. Source: Polyak & Juditsky 1992
    for averaging along the way, with the exponential weights of Tarvainen & Valpola 2017.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = dict(_averaged(network))
        self._held = {name: value.detach().clone() for name, value in self._live.items()}
        # A step of SGD down (average - weights) at the rate 1 - decay is the average's update;
        # fused, it is a few kernels for the whole network, which read `found_inf` on the device.
        self._update = torch.optim.SGD(list(self._held.values()), lr=1.0, fused=True)

    @torch.no_grad()
    def take(self, step: int, masked: Tensor) -> None:
        """Take in the weights after step `step` of the stage, from 0, unless `masked` is 1.0: a
        step that was not made leaves the average as it is, whatever the statistics hold."""
        held = list(self._held.values())
        differences = torch._foreach_sub(held, list(self._live.values()))
        for average, difference in zip(held, differences, strict=True):
            average.grad = difference
        self._update.param_groups[0]["lr"] = 1 - decay_at(step, self._decay)
        setattr(self._update, "found_inf", masked)  # noqa: B010 -- fused steps read it
        self._update.step()
        self._update.zero_grad(set_to_none=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The network holds the average inside, and its own weights again afterwards."""
        own = {name: value.detach().clone() for name, value in self._live.items()}
        try:
            self.settle()
            yield
        finally:
            _copy(own, self._live)

    def settle(self) -> None:
        """Give the network the average for good."""
        _copy(self._held, self._live)

    def tensors(self) -> dict[str, Tensor]:
        """The average, by the names of the network's state."""
        return dict(self._held)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        _copy(tensors, self._held)


def _averaged(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    for path, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            for name in ("running_mean", "running_var"):
                value = getattr(module, name)
                if value is not None:
                    yield f"{path}.{name}".lstrip("."), value


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, value in target.items():
        value.copy_(source[name])
