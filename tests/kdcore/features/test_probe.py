"""A probe finds shapes and activations of any network and does not change it."""

import pytest
import torch
from torch import nn

from kdcore.features.probe import Probe
from kdcore.networks.zoo import build_network
from kdcore.runtime.errors import RunError
from kdcore.spec.knobs.base import Tap
from kdcore.spec.run import Input, Network
from tests.kdcore.tiny import Traps, probe


def _probe(architecture: str, side: int) -> Probe:
    network = Network(
        architecture=architecture,
        num_classes=10,
        input=Input(channels=3, height=side, width=side),
    )
    return Probe("t", build_network(network), 10, torch.zeros(1, 3, side, side))


Expected = list[tuple[str, tuple[int, ...]]]
AFTER: list[tuple[str, int, Expected]] = [
    (
        "resnet20",
        32,
        [("stage1", (16, 32, 32)), ("stage2", (32, 16, 16)), ("stage3", (64, 8, 8))],
    ),
    (
        "wrn_16_1",  # its last activation stands alone behind the last stage
        32,
        [("stage1", (16, 32, 32)), ("stage2", (32, 16, 16)), ("relu", (64, 8, 8))],
    ),
    (
        "shufflenetv2",  # a unit's output, not the half of it that its last ReLU gives
        32,
        [
            ("stem", (24, 32, 32)),
            ("stage1", (116, 16, 16)),
            ("stage2", (232, 8, 8)),
            ("last", (1024, 4, 4)),
        ],
    ),
    (
        "torchvision/resnet50",  # not the next stage's narrow layer that has not yet strided
        64,
        [
            ("relu", (64, 32, 32)),
            ("layer1", (256, 16, 16)),
            ("layer2", (512, 8, 8)),
            ("layer3", (1024, 4, 4)),
            ("layer4", (2048, 2, 2)),
        ],
    ),
    (
        "timm/vit_tiny_patch16_224",  # one resolution: four equal steps of its depth
        64,
        [(f"blocks{n}", (192, 4, 4)) for n in (".2", ".5", ".8", "")],
    ),
    (
        "timm/swin_tiny_patch4_window7_224",  # channels last
        64,
        [
            ("layers.0", (96, 16, 16)),
            ("layers.1", (192, 8, 8)),
            ("layers.2", (384, 4, 4)),
            ("layers", (768, 2, 2)),
        ],
    ),
    (
        "torchvision/googlenet",  # activations are functions, not modules
        64,
        [
            ("conv1", (64, 32, 32)),
            ("conv3", (192, 16, 16)),
            ("inception3b", (480, 8, 8)),
            ("inception4e", (832, 4, 4)),
            ("inception5b", (1024, 2, 2)),
        ],
    ),
]


@pytest.mark.parametrize(("architecture", "side", "expected"), AFTER)
def test_levels_are_the_stages_of_any_network(
    architecture: str, side: int, expected: Expected
) -> None:
    levels = _probe(architecture, side).levels()
    assert [(level.tap.module, level.shape) for level in levels] == expected


BEFORE: list[tuple[str, list[tuple[str, int, bool]]]] = [
    (
        "resnet8",
        [("stage1.0.relu2", 0, True), ("stage2.0.relu2", 0, True), ("stage3.0.relu2", 0, True)],
    ),
    (  # trap: what enters the ReLU of a pre-activation network is the next block's batch norm
        "wrn_16_1",
        [("stage2.0.relu1", 0, True), ("stage3.0.relu1", 0, True), ("relu", 0, True)],
    ),
    (  # trap: one in-place ReLU acts several times in a block
        "torchvision/resnet18",
        [
            ("relu", 0, True),
            ("layer1.1.relu", 1, True),
            ("layer2.1.relu", 1, True),
            ("layer3.1.relu", 1, True),
        ],
    ),
]


@pytest.mark.parametrize(("architecture", "expected"), BEFORE)
def test_levels_before_relu_have_their_batch_norm(
    architecture: str, expected: list[tuple[str, int, bool]]
) -> None:
    seen = _probe(architecture, 32)
    levels = seen.levels("before_relu")
    assert {level.tap.position for level in levels} == {"before_relu"}
    norms = [seen.norm_before(level.tap) for level in levels]
    found = [(x.tap.module, x.tap.call, n is not None) for x, n in zip(levels, norms, strict=True)]
    assert found == expected
    for level, norm in zip(levels, norms, strict=True):
        assert isinstance(norm, nn.BatchNorm2d) and norm.num_features == level.shape[0]


def test_the_batch_norm_of_a_residual_block_is_its_branch_s_last() -> None:
    network = build_network(Network(architecture="resnet8", num_classes=10))
    seen = Probe("t", network, 10, torch.zeros(1, 3, 32, 32))
    norm = seen.norm_before(Tap(module="stage2.0.relu2", position="before_relu"))
    assert norm is network.get_submodule("stage2.0.bn2")


def test_without_a_map_of_the_image_taps_must_be_named() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 3))
    with pytest.raises(RunError, match="name the taps") as caught:
        probe(network).levels()
    assert caught.value.code == "no_default_tap"


def test_nonlinearity_is_the_taps_own_and_not_in_place() -> None:
    seen = probe(Traps())
    act = seen.nonlinearity(Tap(module="relu", call=1))
    assert isinstance(act, nn.ReLU) and not act.inplace
    assert seen.nonlinearity(Tap(module="relu", position="before_relu")) is None
    assert seen.nonlinearity(Tap(module="bn2")) is None


def test_a_container_has_the_nonlinearity_it_ends_with() -> None:
    seen = _probe("resnet8", 32)
    assert isinstance(seen.nonlinearity(Tap(module="stage2")), nn.ReLU)
    assert seen.nonlinearity(Tap(module="stage2.0.bn2")) is None


def test_probing_changes_nothing() -> None:
    network = Traps()
    network.bn2.eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    seen = probe(network)
    seen.shape(Tap(module="bn1")), seen.activations(), seen.nonlinearity(Tap(module="relu"))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert network.training and network.bn1.training and not network.bn2.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
