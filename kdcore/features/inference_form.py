"""A frozen network rewritten to run faster: batch norms folded, weights in the training precision.

Folding: y = (conv(x) - mean) / sqrt(var + eps) * scale + shift is one convolution with other
weights, if nothing but a batch norm in evaluation mode reads the convolution's output. Casting:
autocast would cast a frozen weight again in every pass, since it only caches copies of weights that
are trained.

B: batch, C: channels, H, W: height and width.
"""

import copy
from collections import Counter
from collections.abc import Collection
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TOLERANCE = 1e-3  # of the largest output; where folding is wrong, it is wrong by far more


def inference_form(
    network: nn.Module,
    read: Collection[str],
    x_1CHW: Tensor,
    dtype: torch.dtype | None,
    *,
    fold: bool = True,
) -> nn.Module:
    """Copy a network into a form that runs faster in evaluation mode.

    `read`: paths of modules whose inputs or outputs must not change. `dtype`: of autocast's matrix
    products; None in float32. Without `fold`, and if folding would change the outputs, the copy is
    only cast.
    """
    form = copy.deepcopy(network).eval().requires_grad_(False)
    if fold:
        generator = torch.Generator().manual_seed(0)
        form = _fold(form, read, torch.randn(x_1CHW.shape, generator=generator).to(x_1CHW))
    if dtype is not None:
        for module in form.modules():
            if type(module) in (nn.Conv2d, nn.Linear):
                module.to(dtype)
    return form


@torch.no_grad()
def _fold(network: nn.Module, read: Collection[str], x_1CHW: Tensor) -> nn.Module:
    """Fold batch norms into the convolutions before them, in a copy; the network itself if folding
    would change its outputs."""
    pairs = {
        norm: conv
        for norm, conv in _followers(network, x_1CHW).items()
        if conv not in read and norm not in read
    }
    expected = network(x_1CHW)

    def is_equal(form: nn.Module) -> bool:
        return bool((expected - form(x_1CHW)).abs().max() <= TOLERANCE * expected.abs().max())

    form = _folded(network, pairs)
    if is_equal(form):
        return form
    # Something else, like a residual connection, reads a convolution's output.
    pairs = {n: conv for n, conv in pairs.items() if is_equal(_folded(network, {n: conv}))}
    form = _folded(network, pairs)
    return form if is_equal(form) else network


def _folded(network: nn.Module, pairs: dict[str, str]) -> nn.Module:
    network = copy.deepcopy(network)
    for norm, conv in pairs.items():
        first, second = network.get_submodule(conv), network.get_submodule(norm)
        assert isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)
        _replace(network, conv, fuse_conv_bn_eval(first, second))
        _replace(network, norm, nn.Identity())
    return network


def _followers(network: nn.Module, x_1CHW: Tensor) -> dict[str, str]:
    """Paths of batch norms whose input is a convolution's output tensor, with that convolution's.

    Both must be called just once in a pass.
    """
    made: dict[int, str] = {}
    alive: list[Tensor] = []  # keeps outputs alive, so that no two share an id
    pairs: dict[str, str] = {}
    calls: Counter[str] = Counter()

    def after_conv(path: str, output: Tensor) -> None:
        calls[path] += 1
        alive.append(output)
        made[id(output)] = path

    def before_norm(path: str, x_BCHW: Tensor) -> None:
        calls[path] += 1
        if id(x_BCHW) in made:
            pairs[path] = made[id(x_BCHW)]

    with ExitStack() as hooks:
        for path, module in network.named_modules():
            if type(module) is nn.Conv2d:
                handle = module.register_forward_hook(
                    lambda _module, _args, output, path=path: after_conv(path, output)
                )
            elif type(module) is nn.BatchNorm2d and module.track_running_stats:
                handle = module.register_forward_pre_hook(
                    lambda _module, args, path=path: before_norm(path, args[0])
                )
            else:
                continue
            hooks.callback(handle.remove)
        network(x_1CHW)
    shared = Counter(pairs.values())
    return {
        norm: conv
        for norm, conv in pairs.items()
        if calls[norm] == calls[conv] == shared[conv] == 1
    }


def _replace(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, module)
