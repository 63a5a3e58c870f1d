"""Reads activations at named places of any network, without changing the network's code.

Pitfalls: an in-place ReLU overwrites what a hook saw, so every reading is a clone, and
`before_relu` is read before the ReLU runs; one ReLU module may be called several times in a pass,
so calls are counted; recomputing an input would update batch norms twice, so nothing is recomputed.

B: batch, C: channels, H, W: height and width, K: classes.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from kdcore.runtime.errors import RunError, refuse
from kdcore.spec.fit import missing_module
from kdcore.spec.knobs.base import Tap
from kdcore.spec.spec_codes import SpecCode

_GATES = (nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin)


@dataclass(frozen=True)
class Outputs:
    """The outputs of one forward pass; `logits_BK` is None if it ended at the deepest tap."""

    logits_BK: Tensor | None
    features: dict[Tap, Tensor] = field(default_factory=dict)


class _AllRead(Exception):
    """Every tap has been read, so the rest of the pass is not needed."""


def is_activation(module: nn.Module) -> bool:
    """Whether `module` is an elementwise nonlinearity, torch's or timm's."""
    home = type(module).__module__
    if home == nn.ReLU.__module__:
        return not isinstance(module, _GATES)
    return home.startswith("timm.layers.activations")


def find_module(network: nn.Module, tap: Tap, name: str) -> nn.Module:
    """Find the module that a tap names; `name`: the network's name in error messages.

    Raises RunError `tap_not_found` with the closest paths, or `tap_not_activation`.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    module: nn.Module | None = modules.get(tap.module)
    refuse(missing_module(name, tap.module, modules))
    assert module is not None
    if tap.position == "before_relu" and not is_activation(module):
        raise RunError(
            SpecCode.TAP_NOT_ACTIVATION,
            f"{tap.module!r} of {name} is a {type(module).__name__}, not an activation: "
            "`before_relu` must name the activation module itself",
        )
    return module


class Tapped:
    """A network that is read at `taps`: `tapped(x_BCHW)` returns `Outputs`.

    With `logits=False` a pass ends at the deepest tap: what follows is not run, gets no gradient
    and keeps its batch-norm statistics. To remove the hooks, use it as a context manager or call
    `close()`.
    """

    def __init__(
        self, network: nn.Module, taps: Sequence[Tap] = (), *, logits: bool = True, name: str = ""
    ) -> None:
        self.network = network
        self.name = name
        self.taps = tuple(dict.fromkeys(taps))
        self.logits = logits
        self._reading = False
        self._features: dict[Tap, Tensor] = {}
        self._calls: Counter[tuple[str, str]] = Counter()
        self._handles: list[RemovableHandle] = []
        for key in dict.fromkeys((tap.module, tap.position) for tap in self.taps):
            self._attach(*key)

    def __call__(self, x_BCHW: Tensor) -> Outputs:
        """Run the network. Raises RunError `tap_not_called` if a tap was not reached."""
        self._features = {}
        self._calls.clear()
        self._reading = True
        try:
            logits_BK: Tensor | None = self.network(x_BCHW)
        except _AllRead:
            logits_BK = None
        finally:
            self._reading = False
        features, self._features = self._features, {}
        for tap in self.taps:
            if tap not in features:
                raise self._not_called(tap)
        return Outputs(logits_BK, features)

    def close(self) -> None:
        """Remove every hook."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attach(self, path: str, position: str) -> None:
        wanted = {t.call: t for t in self.taps if (t.module, t.position) == (path, position)}
        module = find_module(self.network, next(iter(wanted.values())), self.name)
        read = self._reader((path, position), wanted)
        if position != "after":
            handle = module.register_forward_pre_hook(lambda _module, args: read(args[0]))
        else:
            handle = module.register_forward_hook(lambda _module, _args, out: read(out))
        self._handles.append(handle)

    def _reader(self, key: tuple[str, str], wanted: dict[int, Tap]) -> Callable[[Any], None]:
        def read(value: Any) -> None:
            if not self._reading:  # the network is run by someone else, for example to score it
                return
            call = self._calls[key]
            self._calls[key] += 1
            tap = wanted.get(call)
            if tap is None:
                return
            if not isinstance(value, Tensor):
                raise RunError(
                    SpecCode.TAP_NOT_TENSOR,
                    f"{tap.module!r} of {self.name} returns a {type(value).__name__}, not a "
                    "tensor; name another module",
                )
            # Cloned, since a later in-place ReLU or `+=` would overwrite the tensor.
            self._features[tap] = value.clone()
            if not self.logits and len(self._features) == len(self.taps):
                raise _AllRead

        return read

    def _not_called(self, tap: Tap) -> RunError:
        count = self._calls[tap.module, tap.position]
        return RunError(
            SpecCode.TAP_NOT_CALLED,
            f"{tap.module!r} of {self.name} is called {count} times in one pass, so there is no "
            f"call {tap.call} (counted from 0)",
        )
