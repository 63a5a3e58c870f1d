"""Our networks by name, with a line each; `torchvision/NAME` and `timm/NAME` are accepted too.

Every one takes the option `width`, a multiplier of its channels (1.0; MobileNetV2: 0.5).
"""

import re
from collections.abc import Mapping

_RESNET = "ResNet (He et al. 2015) for small images"
_WIDE = "wide residual network (Zagoruyko & Komodakis 2016), pre-activation"
_VGG = "VGG with batch norm (Simonyan & Zisserman 2014) for small images"

ARCHITECTURES: dict[str, str] = {
    **{
        f"resnet{depth}": f"{_RESNET}: {depth} layers, 16-32-64 channels"
        for depth in (8, 14, 20, 32, 44, 56, 110)
    },
    **{f"resnet{depth}x4": f"{_RESNET}: {depth} layers, 64-128-256 channels" for depth in (8, 32)},
    **{
        f"wrn_{depth}_{widen}": f"{depth}-layer {_WIDE}, {widen} times as wide as a ResNet"
        for depth in (16, 40)
        for widen in (1, 2)
    },
    **{f"vgg{depth}": f"{depth}-layer {_VGG}" for depth in (8, 11, 13, 16, 19)},
    "mobilenetv2": "MobileNetV2 (Sandler et al. 2018) for small images, half width",
    "shufflenetv1": "ShuffleNet V1 (Zhang et al. 2017) for small images, 3 groups",
    "shufflenetv2": "ShuffleNet V2 (Ma et al. 2018) for small images",
}

_RESIDUAL = re.compile(r"resnet\d+(?P<x4>x4)?|wrn_\d+_(?P<widen>\d+)")


def scaled(channels: int, width: float, multiple: int = 1) -> int:
    """`channels` times `width`, rounded to the nearest multiple (ties up), never below one."""
    return max(1, int(channels * width / multiple + 0.5)) * multiple


def level_channels(architecture: str, options: Mapping[str, object]) -> tuple[int, ...] | None:
    """Channels of the levels that methods read by default, shallow to deep.

    Known for the residual networks of ours; None where only the built network can tell.
    """
    found = _RESIDUAL.fullmatch(architecture) if architecture in ARCHITECTURES else None
    width = options.get("width", 1.0)
    if found is None or isinstance(width, bool | str) or not isinstance(width, int | float):
        return None
    wide = 4 if found["x4"] else int(found["widen"] or 1)
    return tuple(scaled(channels * wide, width) for channels in (16, 32, 64))
