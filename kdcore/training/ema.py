"""An average of the student's weights over the steps of a stage, to be validated and kept."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.spec.recipe import Sgd
from kdcore.training.optim import FusedSgd

WARM_UP = 9  # steps until the average keeps half of itself; see `decay_at`


def decay_at(step: int, decay: float) -> float:
    """The share of itself that the average keeps at step `step` (from 0), at most `decay`.

    It starts small, so that the average forgets the initial weights however short the stage is:
    (1 + step) / (10 + step), as in TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (1 + WARM_UP + step))


class Average:
    """An exponential moving average of a network's parameters and batch-norm statistics.

    The statistics are averaged rather than taken from the network, because its current ones belong
    to its current weights. Everything else (counts, constants) stays the network's own. Source:
    Polyak & Juditsky 1992 for averaging along the trajectory, with the exponential weights of
    Tarvainen & Valpola 2017.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = dict(_averaged(network))
        self._held = {name: value.detach().clone() for name, value in self._live.items()}
        # A step of SGD down (average - weights) at the rate 1 - decay is the average's update;
        # fused, it is a few kernels for the whole network, which read `found_inf` on the device.
        plain = Sgd(momentum=0.0, weight_decay=0.0)
        self._sgd = FusedSgd(tuple(self._held.values()), plain)

    @torch.no_grad()
    def update(self, step: int, masked: Tensor) -> None:
        """Average in the weights after step `step` of the stage, from 0.

        If `masked` is 1.0, the step was not made and the average stays as it is.
        """
        held = list(self._held.values())
        differences = torch._foreach_sub(held, list(self._live.values()))
        for average, difference in zip(held, differences, strict=True):
            average.grad = difference
        self._sgd.learning_rate = 1 - decay_at(step, self._decay)
        self._sgd.found_inf = masked
        self._sgd.step()
        self._sgd.zero_grad()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network holds the average; afterwards its own weights again."""
        own = {name: value.detach().clone() for name, value in self._live.items()}
        try:
            self.apply()
            yield
        finally:
            _copy(own, self._live)

    def apply(self) -> None:
        """Copy the average into the network."""
        _copy(self._held, self._live)

    def tensors(self) -> dict[str, Tensor]:
        """The average, by the names of the network's state."""
        return dict(self._held)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
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
