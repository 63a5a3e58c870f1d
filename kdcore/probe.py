"""What a network looks like to a method: class count, shapes at taps, its activations in order.

B: batch, C: channels, H, W: height and width.
"""

import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdcore.errors import RunError
from kdcore.spec.methods import Tap
from kdcore.taps import Tapped, find_module, is_activation

_Output = tuple[Any, int]


@dataclass(frozen=True)
class Activation:
    """One act of a nonlinearity in a pass; `shape` without the batch."""

    tap: Tap
    module: nn.Module
    output: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output without the batch."""
        return tuple(self.output.shape[1:])


class Probe:
    """Looks at a network by running one image through it; nothing of the network changes."""

    def __init__(self, name: str, network: nn.Module, num_classes: int, x_1CHW: Tensor) -> None:
        self.name = name
        self.num_classes = num_classes
        self._network = network
        self._x_1CHW = x_1CHW

    def shape(self, tap: Tap) -> tuple[int, ...]:
        """Shape at a tap, without the batch. Raises the RunErrors of `kdcore.taps`."""
        with self._still(), Tapped(self._network, (tap,), logits=False, name=self.name) as tapped:
            return tuple(tapped(self._x_1CHW).features[tap].shape[1:])

    def activations(self) -> tuple[Activation, ...]:
        """Every act of a nonlinearity in one pass, in order."""
        return self._watch(None)[0]

    def nonlinearity(self, tap: Tap) -> nn.Module | None:
        """A copy of the nonlinearity whose output the tap reads; none where another module's is.

        A container counts as its last module does: a residual stage's output is its last ReLU's.
        """
        if tap.position == "before_relu":
            return None
        activations, outputs = self._watch(find_module(self._network, tap, self.name))
        if tap.call >= len(outputs):
            return None
        # Only what acted before the module was done: a later in-place one gives the same tensor.
        output, done = outputs[tap.call]
        acts = [a.module for a in activations[:done] if a.output is output]
        return _still_copy(acts[-1]) if acts else None

    def middle_activation(self) -> Tap:
        """The last activation of the middle resolution, where FitNets put hint and guided layer.

        Only maps whose aspect follows the image's count: gates (1x1) and maps with channels last
        do not. Raises RunError `no_default_tap` where a network has none (transformers).
        """
        maps = [a for a in self.activations() if self._is_map(a.shape)]
        if not maps:
            raise RunError(
                "no_default_tap",
                f"{self.name} has no convolutional activation to choose by itself: name the tap",
            )
        sizes = list(dict.fromkeys(a.shape[1:] for a in maps))
        middle = sizes[(len(sizes) - 1) // 2]
        return next(a.tap for a in reversed(maps) if a.shape[1:] == middle)

    def _is_map(self, shape: tuple[int, ...]) -> bool:
        if len(shape) != 3 or shape[1:] == (1, 1):
            return False
        height, width = self._x_1CHW.shape[2:]
        return round(height / shape[1]) == round(width / shape[2])

    def _watch(self, also: nn.Module | None) -> tuple[tuple[Activation, ...], list[_Output]]:
        """One pass: all activations, and every output of the module `also` with how many
        activations came before it."""
        seen: list[Activation] = []
        outputs: list[_Output] = []
        calls: Counter[str] = Counter()
        handles = []
        for path, module in self._network.named_modules():
            if is_activation(module):

                def note(module: nn.Module, _args: object, out: Any, path: str = path) -> None:
                    tap = Tap(module=path, call=calls[path])
                    calls[path] += 1
                    if isinstance(out, Tensor):
                        seen.append(Activation(tap, module, out))

                handles.append(module.register_forward_hook(note))
        if also is not None:
            handles.append(
                also.register_forward_hook(lambda _m, _a, out: outputs.append((out, len(seen))))
            )
        try:
            with self._still():
                self._network(self._x_1CHW)
        finally:
            for handle in handles:
                handle.remove()
        return tuple(seen), outputs

    @contextmanager
    def _still(self) -> Iterator[None]:
        """Evaluation mode without gradients; every module's own mode comes back after."""
        modes = [(module, module.training) for module in self._network.modules()]
        self._network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module, mode in modes:
                module.training = mode


def _still_copy(module: nn.Module) -> nn.Module:
    """A frozen copy that does not act in place."""
    twin = copy.deepcopy(module).requires_grad_(False)
    if hasattr(twin, "inplace"):
        setattr(twin, "inplace", False)  # noqa: B010 -- typed as a submodule otherwise
    return twin
