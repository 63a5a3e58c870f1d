"""What the service says of an architecture without building it is what the built one has."""

from typing import Any

import pytest
import torch

from kdcore.features.probe import Probe
from kdcore.networks.zoo import build_network
from kdcore.spec.architectures import ARCHITECTURES, level_channels
from kdcore.spec.run import Input, Network

RESIDUAL = [name for name in ARCHITECTURES if name.startswith(("resnet", "wrn"))]


@pytest.mark.parametrize("name", RESIDUAL)
@pytest.mark.parametrize("options", [{}, {"width": 0.3}])
def test_channels_of_levels(name: str, options: dict[str, Any]) -> None:
    input = Input(channels=1, height=16, width=16)
    network = Network(architecture=name, options=options, num_classes=3, input=input)
    seen = Probe("t", build_network(network), 3, torch.zeros(1, 1, 16, 16))
    assert level_channels(name, options) == tuple(level.shape[0] for level in seen.levels())


def test_others_must_be_built_first() -> None:
    for name in ("vgg8", "mobilenetv2", "timm/resnet18", "resnet9"):
        assert level_channels(name, {}) is None
    for width in ("1", True, None):
        assert level_channels("resnet8", {"width": width}) is None
