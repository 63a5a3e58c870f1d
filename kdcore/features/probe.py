"""What a network looks like to a method: class count, shapes at taps, its activations and levels.

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

STEPS_OF_ONE_RESOLUTION = 4  # levels of a network that keeps one resolution, at equal depths


@dataclass(frozen=True)
class Act:
    """One call of a module in a pass; `began` and `ended` order all of a pass's calls.

    `shape`: of the output without the batch, empty where it is no tensor. `output`: a number that
    calls share which gave the very same tensor.
    """

    tap: Tap
    module: nn.Module
    shape: tuple[int, ...]
    output: int
    began: int
    ended: int


class Probe:
    """Looks at a network by running one image through it; nothing of the network changes."""

    def __init__(self, name: str, network: nn.Module, num_classes: int, x_1CHW: Tensor) -> None:
        self.name = name
        self.num_classes = num_classes
        self._network = network
        self._x_1CHW = x_1CHW

    def inference_form(
        self, read: Collection[str], dtype: torch.dtype | None, *, fold: bool
    ) -> nn.Module:
        """The network as `kdcore.features.inference_form` rewrites it."""
        return inference_form(self._network, read, self._x_1CHW, dtype, fold=fold)

    def shape(self, tap: Tap) -> tuple[int, ...]:
        """Shape at a tap, without the batch. Raises the RunErrors of `kdcore.features.taps`."""
        with self._still(), Tapped(self._network, (tap,), logits=False, name=self.name) as tapped:
            return tuple(tapped(self._x_1CHW).features[tap].shape[1:])

    def find(self, kind: type[nn.Module]) -> str | None:
        """Path of the last module of a kind."""
        paths = [path for path, m in self._network.named_modules() if isinstance(m, kind)]
        return paths[-1] if paths else None

    def classifier(self) -> str:
        """Path of the linear layer at the end. Raises RunError `no_linear_classifier`."""
        return find_classifier(self._network, self.num_classes)[0]

    def level(self, tap: Tap) -> Level:
        """The tap as a map. Raises RunError `not_a_map`, and those of `kdcore.features.taps`."""
        shape = self.shape(tap)
        grid = grid_of(shape, self._image)
        if grid is None:
            raise RunError(
                SpecCode.NOT_A_MAP,
                f"{tap.module!r} of {self.name} has shape {shape} (without the batch), which is no "
                f"map of a {self._image[0]}x{self._image[1]} image",
            )
        return Level(tap, grid)

    def levels(self, position: TapPosition = "after") -> tuple[Level, ...]:
        """The last activation of each resolution, shallow to deep.

        `after`: as the outermost module around it leaves it, which in a residual network is the
        stage's output and in a transformer the block's. `before_relu`: what enters the activation,
        where there is one that ends its module. Where the last activation belongs to the next stage
        (a bottleneck narrows before it strides), the stage's own counts. A network of one
        resolution gives four equal steps of its depth. Gates and maps of one place do not count.
        Raises RunError `no_default_tap`.
        """
        acts = self._map_acts
        if not acts:
            raise RunError(
                SpecCode.NO_DEFAULT_TAP,
                f"{self.name} has no map of the image to choose: name the taps",
            )
        of_size: dict[tuple[int, int], list[Act]] = {}
        for act, grid in acts:
            of_size.setdefault((grid.height, grid.width), []).append(act)
        groups = list(of_size.values())
        if len(groups) == 1:
            steps = min(STEPS_OF_ONE_RESOLUTION, len(acts))
            groups = [[groups[0][n * len(acts) // steps - 1]] for n in range(1, steps + 1)]
        groups[-1] = groups[-1][-1:]  # what the classifier reads, be it alone behind the last stage
        return tuple(dict.fromkeys(self._level(group, position) for group in groups))

    def norm_before(self, tap: Tap) -> nn.Module | None:
        """The batch norm whose output an activation's input is; in a residual block the last one
        of the branch, not the shortcut's. None where there is none.
        """
        act = next((a for a in self._acts if is_same(a.tap, tap)), None)
        if act is None or tap.position != "before_relu":
            return None
        ended = [a.ended for a in self._acts if is_activation(a.module) and a.ended < act.began]
        since = max(ended, default=-1)
        norms = [
            a
            for a in self._acts
            if isinstance(a.module, _BatchNorm) and since < a.began < act.began
        ]
        fitting = [a for a in norms if a.module.num_features == act.shape[0]]
        # Branch first, shortcut second: that is how every residual block at hand is written.
        return min(fitting, key=lambda a: a.began).module if fitting else None

    def nonlinearity(self, tap: Tap) -> nn.Module | None:
        """A copy of the nonlinearity whose output the tap reads; none where another module's is.

        A container counts as its last module does: a residual stage's output is its last ReLU's.
        """
        if tap.position != "after":
            return None
        find_module(self._network, tap, self.name)
        whole = next((a for a in self._acts if is_same(a.tap, tap)), None)
        if whole is None:
            return None
        # Only what acted before the module was done: a later in-place one gives the same tensor.
        acts = [
            a.module
            for a in self.activations()
            if a.ended <= whole.ended and a.output == whole.output
        ]
        return _still_copy(acts[-1]) if acts else None

    def activations(self) -> tuple[Act, ...]:
        """Every act of a nonlinearity in one pass, in order."""
        return tuple(a for a in self._acts if is_activation(a.module) and a.shape)

    @property
    def _image(self) -> tuple[int, int]:
        height, width = self._x_1CHW.shape[2:]
        return height, width

    @cached_property
    def _map_acts(self) -> list[tuple[Act, Grid]]:
        """Activations that lie on the image, and how; norms and convolutions stand in for them in a
        network that acts by functions, not modules."""
        stand_ins = [a for a in self._acts if isinstance(a.module, (_BatchNorm, nn.Conv2d))]
        for acts in (self.activations(), stand_ins):
            placed = [(act, grid_of(act.shape, self._image)) for act in acts]
            lying = [(a, g) for a, g in placed if g is not None and (g.height, g.width) != (1, 1)]
            if lying:
                return lying
        return []

    def _level(self, acts: Sequence[Act], position: TapPosition) -> Level:
        """The level of activations of one resolution: at the least deep module in which several
        act, a stage, and the last of those; else at the last that is not deep."""
        ends = [(self._around(act), act) for act in reversed(acts)]
        ends = [(m, a) for m, a in ends if self._holds_several(m)] or ends
        if position == "before_relu":
            ending = [(m, a) for m, a in ends if m.output == a.output and is_activation(a.module)]
            if not ending:  # a stage that ends with no activation: then any that ends its module
                alone = [(self._around(act), act) for act in reversed(acts)]
                ending = [(m, a) for m, a in alone if m.output == a.output][:1]
            if ending and is_activation(ending[0][1].module):
                _, act = min(ending, key=_depth)
                return self._tapped_at(act, act.tap.model_copy(update={"position": position}))
        around, _ = min(ends, key=_depth)
        return self._tapped_at(around, around.tap)

    def _holds_several(self, around: Act) -> bool:
        path = f"{around.tap.module}."
        return sum(a.tap.module.startswith(path) for a in self.activations()) > 1

    def _tapped_at(self, act: Act, tap: Tap) -> Level:
        grid = grid_of(act.shape, self._image)
        assert grid is not None
        return Level(tap, grid)

    def _around(self, act: Act) -> Act:
        """The outermost module around an activation with its resolution, in which no later
        activation that lies on the image acts."""
        later = [a.ended for a, _ in self._map_acts if a.ended > act.ended]
        bound = min(later, default=len(self._acts) * 2)
        mine = grid_of(act.shape, self._image)
        assert mine is not None
        names = act.tap.module.split(".")
        for depth in range(1, len(names)):
            path = ".".join(names[:depth])
            ends = (a for a in self._acts if a.tap.module == path and a.ended > act.ended)
            around = min(ends, key=lambda a: a.ended, default=None)
            if around is None or around.ended > bound:
                continue
            grid = grid_of(around.shape, self._image)
            if grid is not None and (grid.height, grid.width) == (mine.height, mine.width):
                return around
        return act

    @cached_property
    def _acts(self) -> tuple[Act, ...]:
        """Every call of every module in one pass, in the order in which they end."""
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
            with self._still():
                self._network(self._x_1CHW)
        finally:
            for handle in handles:
                handle.remove()
        # All outputs are still alive here, so equal ids mean the same tensor.
        first = {id(out): n for n, (_, _, out, _, _) in reversed(list(enumerate(done)))}
        return tuple(
            Act(tap, module, _shape(out), first[id(out)], began, ended)
            for tap, module, out, began, ended in done
        )

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


def is_same(a: Tap, b: Tap) -> bool:
    """Whether two taps name the same call of the same module, at whichever position."""
    return (a.module, a.call) == (b.module, b.call)


def _depth(end: tuple[Act, Act]) -> int:
    return end[0].tap.module.count(".")


def _shape(output: Any) -> tuple[int, ...]:
    return tuple(output.shape[1:]) if isinstance(output, Tensor) else ()


def _still_copy(module: nn.Module) -> nn.Module:
    """A frozen copy that does not act in place."""
    twin = copy.deepcopy(module).requires_grad_(False)
    if hasattr(twin, "inplace"):
        setattr(twin, "inplace", False)  # noqa: B010 -- typed as a submodule otherwise
    return twin
