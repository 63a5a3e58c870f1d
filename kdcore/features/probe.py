"""Describes a network to methods: class count, shapes at taps, activations and levels.

B: batch, C: channels, H, W: height and width.
"""

import copy
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.features.inference_form import inference_form
from kdcore.features.levels import Grid, Level, grid_of
from kdcore.features.taps import Tapped, find_module, is_activation
from kdcore.networks.classifier import find_classifier
from kdcore.runtime.errors import RunError
from kdcore.spec.knobs.base import Tap, TapPosition
from kdcore.spec.spec_codes import SpecCode

STEPS_OF_ONE_RESOLUTION = 4  # levels of a network with one resolution, at equal depths


@dataclass(frozen=True)
class ModuleCall:
    """One call of a module in a pass; `began` and `ended` order all calls of the pass.

    `shape`: of the output without the batch, empty if it is not a tensor. `output`: a number that
    identifies the output; calls that returned the same tensor have the same one.
    """

    tap: Tap
    module: nn.Module
    shape: tuple[int, ...]
    output: int
    began: int
    ended: int


class Probe:
    """Examines a network by running one image through it, without changing the network."""

    def __init__(self, name: str, network: nn.Module, num_classes: int, x_1CHW: Tensor) -> None:
        self.name = name
        self.num_classes = num_classes
        self._network = network
        self._x_1CHW = x_1CHW

    def inference_form(
        self, read: Collection[str], dtype: torch.dtype | None, *, fold: bool
    ) -> nn.Module:
        """The network in the form of `kdcore.features.inference_form`."""
        return inference_form(self._network, read, self._x_1CHW, dtype, fold=fold)

    def shape(self, tap: Tap) -> tuple[int, ...]:
        """Shape at a tap, without the batch. Raises the RunErrors of `kdcore.features.taps`."""
        with (
            self._evaluating(),
            Tapped(self._network, (tap,), logits=False, name=self.name) as tapped,
        ):
            return tuple(tapped(self._x_1CHW).features[tap].shape[1:])

    def find(self, kind: type[nn.Module]) -> str | None:
        """Path of the last module of a type; None if there is none."""
        paths = [path for path, m in self._network.named_modules() if isinstance(m, kind)]
        return paths[-1] if paths else None

    def classifier(self) -> str:
        """Path of the linear classifier. Raises RunError `no_linear_classifier`."""
        return find_classifier(self._network, self.num_classes)[0]

    def level(self, tap: Tap) -> Level:
        """The tap as a map. Raises RunError `not_a_map`, and those of `kdcore.features.taps`."""
        shape = self.shape(tap)
        grid = grid_of(shape, self._image)
        if grid is None:
            raise RunError(
                SpecCode.NOT_A_MAP,
                f"{tap.module!r} of {self.name} has shape {shape} (without batch), which is not "
                f"a map of a {self._image[0]}x{self._image[1]} image; name another module",
            )
        return Level(tap, grid)

    def levels(self, position: TapPosition = "after") -> tuple[Level, ...]:
        """The last activation of each resolution, shallow to deep.

        `after`: as the outermost module around it returns it: in a residual network the output of
        the stage, in a transformer that of the block. `before_relu`: the input of the activation,
        if there is one that ends its module. If the last activation belongs to the next stage (a
        bottleneck narrows before it strides), the stage's own last one is taken. A network with one
        resolution gives four levels at equal steps of its depth. Gates and maps of one position do
        not count. Raises RunError `no_default_tap`.
        """
        calls = self._map_calls
        if not calls:
            raise RunError(
                SpecCode.NO_DEFAULT_TAP,
                f"{self.name} has no activations that are maps of the image; name the taps",
            )
        of_size: dict[tuple[int, int], list[ModuleCall]] = {}
        for call, grid in calls:
            of_size.setdefault((grid.height, grid.width), []).append(call)
        groups = list(of_size.values())
        if len(groups) == 1:
            steps = min(STEPS_OF_ONE_RESOLUTION, len(calls))
            groups = [[groups[0][n * len(calls) // steps - 1]] for n in range(1, steps + 1)]
        groups[-1] = groups[-1][-1:]  # what the classifier reads, even if it follows the last stage
        return tuple(dict.fromkeys(self._level(group, position) for group in groups))

    def norm_before(self, tap: Tap) -> nn.Module | None:
        """The batch norm whose output enters an activation; None if there is none.

        In a residual block it is the last one of the branch, not the shortcut's.
        """
        act = next((c for c in self._calls if is_same(c.tap, tap)), None)
        if act is None or tap.position != "before_relu":
            return None
        ended = [c.ended for c in self._calls if is_activation(c.module) and c.ended < act.began]
        since = max(ended, default=-1)
        norms = [
            c
            for c in self._calls
            if isinstance(c.module, _BatchNorm) and since < c.began < act.began
        ]
        fitting = [c for c in norms if c.module.num_features == act.shape[0]]
        # All residual blocks here and in torchvision and timm call the branch before the shortcut.
        return min(fitting, key=lambda c: c.began).module if fitting else None

    def nonlinearity(self, tap: Tap) -> nn.Module | None:
        """A copy of the nonlinearity whose output the tap reads; None if it reads another module's.

        The output of a container is its last module's: that of a residual stage is its last ReLU's.
        """
        if tap.position != "after":
            return None
        find_module(self._network, tap, self.name)
        read = next((c for c in self._calls if is_same(c.tap, tap)), None)
        if read is None:
            return None
        # Only calls before the module returned: a later in-place one returns the same tensor.
        activations = [
            c.module
            for c in self.activations()
            if c.ended <= read.ended and c.output == read.output
        ]
        return _frozen_copy(activations[-1]) if activations else None

    def activations(self) -> tuple[ModuleCall, ...]:
        """Every call of a nonlinearity in one pass, in order."""
        return tuple(c for c in self._calls if is_activation(c.module) and c.shape)

    @property
    def _image(self) -> tuple[int, int]:
        height, width = self._x_1CHW.shape[2:]
        return height, width

    @cached_property
    def _map_calls(self) -> list[tuple[ModuleCall, Grid]]:
        """Calls of activations that cover the image, and how.

        In a network that uses functions instead of activation modules, calls of batch norms and
        convolutions stand in for them.
        """
        stand_ins = [c for c in self._calls if isinstance(c.module, (_BatchNorm, nn.Conv2d))]
        for calls in (self.activations(), stand_ins):
            placed = [(call, grid_of(call.shape, self._image)) for call in calls]
            maps = [(c, g) for c, g in placed if g is not None and (g.height, g.width) != (1, 1)]
            if maps:
                return maps
        return []

    def _level(self, calls: Sequence[ModuleCall], position: TapPosition) -> Level:
        """The level of one resolution, given its activations.

        It is read at the least nested module that holds several of them, a stage; or if there is
        none, at the least nested module around one of them. Of equally nested ones it is the last.
        """
        ends = [(self._around(call), call) for call in reversed(calls)]
        ends = [(m, c) for m, c in ends if self._holds_several(m)] or ends
        if position == "before_relu":
            ending = [(m, c) for m, c in ends if m.output == c.output and is_activation(c.module)]
            if not ending:  # the stage does not end with an activation: take any that ends a module
                alone = [(self._around(call), call) for call in reversed(calls)]
                ending = [(m, c) for m, c in alone if m.output == c.output][:1]
            if ending and is_activation(ending[0][1].module):
                _, call = min(ending, key=_depth)
                return self._tapped_at(call, call.tap.model_copy(update={"position": position}))
        around, _ = min(ends, key=_depth)
        return self._tapped_at(around, around.tap)

    def _holds_several(self, around: ModuleCall) -> bool:
        path = f"{around.tap.module}."
        return sum(c.tap.module.startswith(path) for c in self.activations()) > 1

    def _tapped_at(self, call: ModuleCall, tap: Tap) -> Level:
        grid = grid_of(call.shape, self._image)
        assert grid is not None
        return Level(tap, grid)

    def _around(self, act: ModuleCall) -> ModuleCall:
        """The outermost module around an activation that has its resolution and returns before the
        next activation that covers the image."""
        later = [c.ended for c, _ in self._map_calls if c.ended > act.ended]
        bound = min(later, default=len(self._calls) * 2)
        mine = grid_of(act.shape, self._image)
        assert mine is not None
        names = act.tap.module.split(".")
        for depth in range(1, len(names)):
            path = ".".join(names[:depth])
            ends = (c for c in self._calls if c.tap.module == path and c.ended > act.ended)
            around = min(ends, key=lambda c: c.ended, default=None)
            if around is None or around.ended > bound:
                continue
            grid = grid_of(around.shape, self._image)
            if grid is not None and (grid.height, grid.width) == (mine.height, mine.width):
                return around
        return act

    @cached_property
    def _calls(self) -> tuple[ModuleCall, ...]:
        """Every call of every module in one pass, in the order in which they return."""
        done: list[tuple[Tap, nn.Module, Any, int, int]] = []
        open_: list[int] = []
        clock, calls, handles = iter(range(1 << 30)), Counter[str](), []
        for path, module in self._network.named_modules():
            if not path:
                continue

            def begin(*_: object) -> None:
                open_.append(next(clock))

            def end(module: nn.Module, _args: object, out: Any, path: str = path) -> None:
                tap = Tap(module=path, call=calls[path])
                calls[path] += 1
                done.append((tap, module, out, open_.pop(), next(clock)))

            handles += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
        try:
            with self._evaluating():
                self._network(self._x_1CHW)
        finally:
            for handle in handles:
                handle.remove()
        # All outputs are alive here, so equal ids mean the same tensor.
        first = {id(out): n for n, (_, _, out, _, _) in reversed(list(enumerate(done)))}
        return tuple(
            ModuleCall(tap, module, _shape(out), first[id(out)], began, ended)
            for tap, module, out, began, ended in done
        )

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Evaluation mode without gradients; afterwards every module has its own mode again."""
        modes = [(module, module.training) for module in self._network.modules()]
        self._network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module, mode in modes:
                module.training = mode


def is_same(a: Tap, b: Tap) -> bool:
    """Whether two taps name the same call of the same module, whatever their positions."""
    return (a.module, a.call) == (b.module, b.call)


def _depth(end: tuple[ModuleCall, ModuleCall]) -> int:
    return end[0].tap.module.count(".")


def _shape(output: Any) -> tuple[int, ...]:
    return tuple(output.shape[1:]) if isinstance(output, Tensor) else ()


def _frozen_copy(module: nn.Module) -> nn.Module:
    """A frozen copy that does not work in place."""
    twin = copy.deepcopy(module).requires_grad_(False)
    if hasattr(twin, "inplace"):
        setattr(twin, "inplace", False)  # noqa: B010 -- typed as a submodule otherwise
    return twin
