"""Builds any network by name, with random weights: ours, `torchvision/NAME` or `timm/NAME`."""

from collections.abc import Callable
from functools import partial

from torch import nn

from kdcore.networks import foreign
from kdcore.networks.classifier import insert_projector
from kdcore.networks.mobilenet import MobileNetV2
from kdcore.networks.pointwise import replace_affected
from kdcore.networks.resnet import ResNet
from kdcore.networks.shufflenet import ShuffleNetV1, ShuffleNetV2
from kdcore.networks.vgg import Vgg
from kdcore.networks.wide_resnet import WideResNet
from kdcore.runtime.errors import RunError
from kdcore.spec.fit import closest, unknown_architecture
from kdcore.spec.run import Input, Network
from kdcore.spec.spec_codes import SpecCode

MAX_WIDTH = 32.0

Builder = Callable[[Input, int, float], nn.Module]


def _resnet(
    depth: int, channels: tuple[int, int, int, int], input: Input, classes: int, width: float
) -> nn.Module:
    return ResNet(depth, channels, input.channels, classes, width)


def _wide_resnet(depth: int, widen: int, input: Input, classes: int, width: float) -> nn.Module:
    return WideResNet(depth, widen, input.channels, classes, width)


def _vgg(depth: int, input: Input, classes: int, width: float) -> nn.Module:
    return Vgg(depth, input.channels, min(input.height, input.width), classes, width)


def _mobilenet(input: Input, classes: int, width: float) -> nn.Module:
    return MobileNetV2(input.channels, classes, width)


def _shufflenet_v1(input: Input, classes: int, width: float) -> nn.Module:
    return ShuffleNetV1(input.channels, classes, width)


def _shufflenet_v2(input: Input, classes: int, width: float) -> nn.Module:
    return ShuffleNetV2(input.channels, classes, width)


BUILDERS: dict[str, Builder] = {
    **{f"resnet{d}": partial(_resnet, d, (16, 16, 32, 64)) for d in (8, 14, 20, 32, 44, 56, 110)},
    **{f"resnet{d}x4": partial(_resnet, d, (32, 64, 128, 256)) for d in (8, 32)},
    **{f"wrn_{d}_{w}": partial(_wide_resnet, d, w) for d in (16, 40) for w in (1, 2)},
    **{f"vgg{d}": partial(_vgg, d) for d in (8, 11, 13, 16, 19)},
    "mobilenetv2": _mobilenet,
    "shufflenetv1": _shufflenet_v1,
    "shufflenetv2": _shufflenet_v2,
}
DEFAULT_WIDTH = {"mobilenetv2": 0.5}


def architecture_names() -> list[str]:
    """Names of our own networks, in the order in which users see them."""
    return list(BUILDERS)


def build_network(network: Network) -> nn.Module:
    """Build a network, logits_BK from x_BCHW, with weights drawn from torch's global generator.

    Raises RunError `unknown_architecture` with the closest names, `bad_option`, `bad_input_size`,
    `not_a_classifier`, `no_linear_classifier`.
    """
    module = _build(network)
    if network.classifier_width is not None:
        insert_projector(module, network.num_classes, network.classifier_width)
    replace_affected(module)
    return module


def _build(network: Network) -> nn.Module:
    name = network.architecture
    if name in BUILDERS:
        return BUILDERS[name](network.input, network.num_classes, _width(network))
    library, _, model = name.partition("/")
    if library in foreign.LIBRARIES and model in foreign.model_names(library):
        return foreign.build(library, model, network)
    raise _unknown(name)


def _width(network: Network) -> float:
    for option in network.options:
        if option != "width":
            raise RunError(
                SpecCode.BAD_OPTION,
                f"{network.architecture} has no option {option!r}; its only option is width",
                pointer=f"/options/{option}",
            )
    width = network.options.get("width", DEFAULT_WIDTH.get(network.architecture, 1.0))
    if isinstance(width, bool | str) or not 0 < width <= MAX_WIDTH:
        raise RunError(
            SpecCode.BAD_OPTION,
            f"width is {width!r}; it must be a number above 0 and at most {MAX_WIDTH:g}",
            pointer="/options/width",
        )
    return float(width)


def _unknown(name: str) -> RunError:
    library, slash, model = name.partition("/")
    if slash and library in foreign.LIBRARIES:
        close = [f"{library}/{n}" for n in closest(model, foreign.model_names(library))]
    else:
        close = closest(name, architecture_names())
        close += [f"{lib}/{name}" for lib in foreign.LIBRARIES if name in foreign.model_names(lib)]
    fault = unknown_architecture(name, close)
    return RunError(fault.code, fault.message, pointer=fault.pointer)
