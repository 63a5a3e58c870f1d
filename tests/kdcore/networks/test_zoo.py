"""Every network of ours: its published size, its shapes, its separate activations, its options."""

import pytest
import torch
from torch import nn

from kdcore.networks.zoo import architecture_names, build_network
from kdcore.runtime.errors import RunError
from kdcore.spec.architectures import ARCHITECTURES
from kdcore.spec.recipe import Scalar
from kdcore.spec.run import Input, Network

# Millions of parameters for 3x32x32 and 100 classes as the distillation literature reports them
# (CRD, ReviewKD, DKD tables); for 10 classes: He et al. 2015, table 6.
PUBLISHED_100 = {
    "resnet8": 0.08,
    "resnet14": 0.18,
    "resnet20": 0.28,
    "resnet32": 0.47,
    "resnet44": 0.67,
    "resnet56": 0.86,
    "resnet110": 1.74,
    "resnet8x4": 1.23,
    "resnet32x4": 7.43,
    "wrn_16_1": 0.18,
    "wrn_16_2": 0.70,
    "wrn_40_1": 0.57,
    "wrn_40_2": 2.26,
    "vgg8": 3.97,
    "vgg11": 9.28,
    "vgg13": 9.46,
    "vgg16": 14.77,
    "vgg19": 20.09,
    "mobilenetv2": 0.81,
    "shufflenetv1": 0.95,
    "shufflenetv2": 1.36,
}
HE_2015_10 = {"resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85}


def network(
    architecture: str,
    classes: int = 10,
    options: dict[str, Scalar] | None = None,
    channels: int = 3,
    size: tuple[int, int] = (32, 32),
) -> Network:
    return Network(
        architecture=architecture,
        num_classes=classes,
        options=options or {},
        input=Input(channels=channels, height=size[0], width=size[1]),
    )


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_listed_architectures_are_those_that_can_be_built() -> None:
    assert list(ARCHITECTURES) == architecture_names() == list(PUBLISHED_100)


@pytest.mark.parametrize("name", PUBLISHED_100)
def test_it_has_the_published_size_and_learns_at_32x32(name: str) -> None:
    torch.manual_seed(0)
    module = build_network(network(name, classes=100))
    assert round(count(module) / 1e6, 2) == PUBLISHED_100[name]

    logits_BK = module(torch.randn(2, 3, 32, 32))
    assert logits_BK.shape == (2, 100)
    logits_BK.square().mean().backward()
    for path, parameter in module.named_parameters():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path


@pytest.mark.parametrize("name", HE_2015_10)
def test_a_resnet_has_the_size_of_its_paper(name: str) -> None:
    # The paper's shortcuts have no parameters; ours, 1x1 convolutions, add under 3,000.
    shortcuts = 2752
    assert round((count(build_network(network(name))) - shortcuts) / 1e6, 2) == HE_2015_10[name]


@pytest.mark.parametrize("name", PUBLISHED_100)
def test_each_activation_is_a_module_of_its_own_called_once(name: str) -> None:
    """A tap names one module: a shared or functional ReLU could not be distinguished."""
    module = build_network(network(name, size=(8, 8))).eval()
    calls: list[nn.Module] = []
    relus = [m for m in module.modules() if isinstance(m, nn.ReLU | nn.ReLU6)]
    for relu in relus:
        assert not relu.inplace
        relu.register_forward_hook(lambda m, args, output: calls.append(m))
    with torch.no_grad():
        module(torch.randn(1, 3, 8, 8))
    assert len(relus) > 3
    assert {id(m) for m in calls} == {id(m) for m in relus}
    assert len(calls) == len(relus)


@pytest.mark.parametrize("size", [(28, 28), (4, 4), (20, 36)])
@pytest.mark.parametrize("name", ["resnet8", "vgg8", "wrn_16_1", "mobilenetv2", "shufflenetv2"])
def test_grey_and_odd_sizes_work(name: str, size: tuple[int, int]) -> None:
    module = build_network(network(name, classes=7, channels=1, size=size))
    assert module(torch.randn(2, 1, *size)).shape == (2, 7)


def test_width_makes_the_very_small_student_of_the_demo() -> None:
    student = network("resnet8", channels=1, size=(28, 28), options={"width": 0.25})
    assert count(build_network(student)) == 5142


@pytest.mark.parametrize("name", PUBLISHED_100)
def test_width_scales_every_network(name: str) -> None:
    narrow = build_network(network(name, options={"width": 0.3}))
    assert count(narrow) < 0.8e6 * PUBLISHED_100[name]
    assert narrow(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_weights_are_drawn_from_torchs_generator() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return next(build_network(network("resnet8")).parameters())

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("resnet21", "resnet20"),
        ("ResNet20", "resnet20"),
        ("wrn-40-2", "wrn_40_2"),
        ("mobilenet_v2", "torchvision/mobilenet_v2"),
        ("resnet18", "timm/resnet18"),
        ("torchvision/resnet19", "torchvision/resnet18"),
        ("timm/resnet18.a1_in1k", "timm/resnet18"),
        ("timm/hf-hub:someone/resnet18", "timm/resnet18"),
        ("nothing like it", "resnet8"),
    ],
)
def test_an_unknown_name_is_refused_with_the_closest(name: str, suggestion: str) -> None:
    with pytest.raises(RunError) as caught:
        build_network(network(name))
    assert caught.value.code == "unknown_architecture"
    assert caught.value.pointer == "/architecture"
    assert suggestion in caught.value.message


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"widht": 2}, "/options/widht"),
        ({"width": 0}, "/options/width"),
        ({"width": "wide"}, "/options/width"),
        ({"width": True}, "/options/width"),
        ({"width": float("nan")}, "/options/width"),
        ({"width": 1e9}, "/options/width"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Scalar], pointer: str) -> None:
    with pytest.raises(RunError) as caught:
        build_network(network("resnet8", options=options))
    assert (caught.value.code, caught.value.pointer) == ("bad_option", pointer)
