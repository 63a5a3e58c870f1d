"""Builds networks of torchvision and timm, adapted to input channels, image size and classes."""

# B batch, C channels, H height, W width, K classes

import importlib
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn

from kdcore.networks import shim  # noqa: F401  (before torchvision and timm)
from kdcore.runtime.errors import RunError
from kdcore.spec.run import Input, Network
from kdcore.spec.spec_codes import SpecCode

LIBRARIES = ("torchvision", "timm")
# Options that our own fields set, or that would read files or the network.
RESERVED_OPTIONS = frozenset(
    {
        *("num_classes", "in_chans", "img_size", "image_size", "input_size", "model_name"),
        *("init_weights", "aux_logits", "transform_input", "features_only"),
        *("weights", "weights_backbone", "progress", "checkpoint_path", "cache_dir"),
        *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict"),
    }
)
Options = dict[str, Any]


@cache
def model_names(library: str) -> list[str]:
    """Names of the classification networks that the installed library can build."""
    if library == "timm":
        return list(importlib.import_module("timm").list_models())
    models = importlib.import_module("torchvision.models")
    return list(models.list_models(module=models))


def build(library: str, name: str, network: Network) -> nn.Module:
    """Build the network with random weights, and run it once on a blank image.

    Raises RunError `bad_option`, `bad_input_size`, `not_a_classifier`.
    """
    for option in network.options:
        if option in RESERVED_OPTIONS:
            raise RunError(
                SpecCode.BAD_OPTION,
                f"the option {option!r} cannot be set: it follows from other fields, or would read "
                "files",
                pointer=f"/options/{option}",
            )
    make = _torchvision if library == "torchvision" else _timm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = _translating_errors(network, lambda: make(name, network))
    _check_forward(module, network)
    return module


def _translating_errors(network: Network, make: Callable[[], nn.Module]) -> nn.Module:
    try:
        return make()
    except TypeError as error:
        if not network.options:
            raise
        raise RunError(
            SpecCode.BAD_OPTION,
            f"{network.architecture} does not take these options: {error}",
            pointer="/options",
        ) from error
    except (AssertionError, ValueError, RuntimeError, KeyError, IndexError) as error:
        raise RunError(
            SpecCode.BAD_OPTION if network.options else SpecCode.BAD_INPUT_SIZE,
            f"{network.architecture} cannot be built for {_size(network.input)}"
            f" with options {network.options}: {error}",
            pointer="/architecture",
        ) from error


def _torchvision(name: str, network: Network) -> nn.Module:
    models = importlib.import_module("torchvision.models")
    size: Options = {}
    if name.startswith("vit_"):
        if network.input.height != network.input.width:
            raise ValueError("it only reads square images")
        size["image_size"] = network.input.height
    elif name.startswith("maxvit"):
        size["input_size"] = (network.input.height, network.input.width)
    elif name in ("googlenet", "inception_v3"):
        size |= {"aux_logits": False, "init_weights": True}
    module: nn.Module = models.get_model(
        name, weights=None, num_classes=network.num_classes, **size, **network.options
    )
    _adapt_channels(module, network.input.channels)
    return module


def _adapt_channels(module: nn.Module, channels: int) -> None:
    """Replace the first convolution, which reads the image, by one for `channels` channels."""
    convolutions = ((p, m) for p, m in module.named_modules() if isinstance(m, nn.Conv2d))
    path, stem = next(convolutions)
    if stem.in_channels == channels:
        return
    adapted = nn.Conv2d(
        channels,
        stem.out_channels,
        stem.kernel_size,  # type: ignore[arg-type]
        stem.stride,  # type: ignore[arg-type]
        stem.padding,  # type: ignore[arg-type]
        bias=stem.bias is not None,
    )
    nn.init.kaiming_normal_(adapted.weight, mode="fan_out", nonlinearity="relu")
    module.set_submodule(path, adapted)


def _timm(name: str, network: Network) -> nn.Module:
    timm = importlib.import_module("timm")
    arguments: Options = {
        "pretrained": False,
        "num_classes": network.num_classes,
        "in_chans": network.input.channels,
        **network.options,
    }
    size = (network.input.height, network.input.width)
    try:
        module: nn.Module = timm.create_model(name, img_size=size, **arguments)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        module = timm.create_model(name, **arguments)
    return module


def _check_forward(module: nn.Module, network: Network) -> None:
    input = network.input
    x_BCHW = torch.zeros(1, input.channels, input.height, input.width)
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            logits_BK = module(x_BCHW)
    except (AssertionError, ValueError, RuntimeError, IndexError) as error:
        raise RunError(
            SpecCode.BAD_INPUT_SIZE,
            f"{network.architecture} cannot read images of {_size(input)}: {error}",
            pointer="/architecture",
        ) from error
    finally:
        module.train(was_training)
    if not isinstance(logits_BK, torch.Tensor) or logits_BK.shape != (1, network.num_classes):
        raise RunError(
            SpecCode.NOT_A_CLASSIFIER,
            f"{network.architecture} does not return one row of class scores per image; choose a "
            "classification network",
            pointer="/architecture",
        )


def _size(input: Input) -> str:
    return f"{input.channels}x{input.height}x{input.width}"
