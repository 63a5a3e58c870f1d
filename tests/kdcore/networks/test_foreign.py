"""torchvision's and timm's networks by name: adapted, random, without files or the network."""

import pytest
import torch
from torch import nn

from kdcore.networks.foreign import model_names
from kdcore.networks.zoo import build_network
from kdcore.runtime.errors import RunError
from kdcore.spec.recipe import Scalar
from tests.kdcore.networks.test_zoo import network


@pytest.mark.parametrize(
    "name",
    [
        "torchvision/resnet18",
        "torchvision/mobilenet_v3_small",
        "torchvision/squeezenet1_1",
        "torchvision/shufflenet_v2_x0_5",
        "timm/resnet10t",
        "timm/mobilenetv3_small_050",
        "timm/test_vit",
        "timm/test_convnext",
    ],
)
def test_channels_size_and_classes_are_adapted(name: str) -> None:
    module = build_network(network(name, classes=7, channels=1, size=(64, 96)))
    logits_BK = module(torch.randn(2, 1, 64, 96))
    assert logits_BK.shape == (2, 7)
    logits_BK.sum().backward()
    assert module.training


def test_the_stem_is_replaced_alike_but_for_its_channels() -> None:
    grey = build_network(network("torchvision/resnet18", channels=1, size=(64, 64)))
    stem = grey.get_submodule("conv1")
    assert isinstance(stem, nn.Conv2d)
    assert stem.weight.shape == (64, 1, 7, 7)
    assert (stem.stride, stem.padding, stem.bias) == ((2, 2), (3, 3), None)


def test_both_libraries_list_their_networks() -> None:
    assert "resnet18" in model_names("torchvision")
    assert "fasterrcnn_resnet50_fpn" not in model_names("torchvision")
    assert len(model_names("timm")) > 500


def test_an_image_size_a_network_cannot_read_is_named() -> None:
    with pytest.raises(RunError) as caught:
        build_network(network("torchvision/alexnet", size=(16, 16)))
    assert caught.value.code == "bad_input_size"
    assert "3x16x16" in caught.value.message


def test_an_option_reaches_the_network() -> None:
    module = build_network(network("timm/test_vit", size=(64, 64), options={"depth": 2}))
    assert len(list(module.get_submodule("blocks").children())) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"pretrained": True},
        {"checkpoint_path": "/etc/passwd"},
        {"weights": "DEFAULT"},
        {"nonsense": 3},
    ],
)
@pytest.mark.parametrize("name", ["timm/resnet10t", "torchvision/resnet18"])
def test_options_that_download_read_files_or_mean_nothing_are_refused(
    name: str, options: dict[str, Scalar]
) -> None:
    with pytest.raises(RunError) as caught:
        build_network(network(name, options=options))
    assert caught.value.code == "bad_option"
