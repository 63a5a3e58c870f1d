"""A probe sees shapes and activations of any network and changes nothing in it."""

import pytest
import torch
from torch import nn

from kdcore.errors import RunError
from kdcore.networks.zoo import build_network
from kdcore.probe import Probe
from kdcore.spec.methods import Tap
from kdcore.spec.run import Input, Network
from tests.kdcore.tiny import Traps, probe


def _probe(architecture: str, side: int) -> Probe:
    network = Network(
        architecture=architecture,
        num_classes=10,
        input=Input(channels=3, height=side, width=side),
    )
    return Probe("t", build_network(network), 10, torch.zeros(1, 3, side, side))


@pytest.mark.parametrize(
    ("architecture", "side", "resolution"),
    [
        ("resnet8", 32, 16),
        ("wrn_16_1", 32, 16),
        ("vgg8", 32, 16),
        ("mobilenetv2", 32, 8),
        ("shufflenetv1", 32, 16),
        ("torchvision/resnet18", 64, 8),
        ("torchvision/squeezenet1_1", 64, 15),
    ],
)
def test_hint_lies_in_the_middle_resolution(architecture: str, side: int, resolution: int) -> None:
    seen = _probe(architecture, side)
    tap = seen.middle_activation()
    assert seen.shape(tap)[1:] == (resolution, resolution)
    later = [a.shape[1:] for a in seen.activations()]
    index = [a.tap for a in seen.activations()].index(tap)
    assert (resolution, resolution) not in later[index + 1 :]


def test_a_transformer_has_no_default_tap() -> None:
    with pytest.raises(RunError, match="name the tap") as caught:
        _probe("timm/vit_tiny_patch16_224", 32).middle_activation()
    assert caught.value.code == "no_default_tap"


def test_maps_with_channels_last_are_not_taken_for_maps() -> None:
    class ChannelsLast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.GELU()

        def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.act(x_BCHW.permute(0, 2, 3, 1).repeat(1, 1, 1, 24))
            return out

    with pytest.raises(RunError):
        probe(ChannelsLast()).middle_activation()


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


def test_looking_changes_nothing() -> None:
    network = Traps()
    network.bn2.eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    seen = probe(network)
    seen.shape(Tap(module="bn1")), seen.activations(), seen.nonlinearity(Tap(module="relu"))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert network.training and network.bn1.training and not network.bn2.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
