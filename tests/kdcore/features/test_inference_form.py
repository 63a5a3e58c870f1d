"""A frozen network's faster form has the same outputs at every tap; the network does not change."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from kdcore.features.inference_form import inference_form
from kdcore.features.taps import Tapped
from kdcore.spec.knobs.base import Tap
from tests.kdcore.stages import same_bits, small_network, state_of
from tests.kdcore.tiny import Traps


def images(side: int = 32) -> Tensor:
    return torch.randn(4, 1, side, side, generator=torch.Generator().manual_seed(1))


def trained(network: nn.Module) -> nn.Module:
    """With batch norms that do something."""
    generator = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            for tensor in (module.running_mean, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / 4)
            for tensor in (module.running_var, module.weight.data):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())


def form_of(
    network: nn.Module,
    read: Sequence[str] = (),
    dtype: torch.dtype | None = None,
    fold: bool = True,
) -> nn.Module:
    return inference_form(network, read, images()[:1], dtype, fold=fold)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("resnet20", 0),
        ("wrn_16_1", 7),  # norms that come before the convolution, and the last
        ("vgg8", 0),
        ("mobilenetv2", 0),
        ("shufflenetv2", 0),
        ("torchvision/resnet18", 0),
        ("torchvision/densenet121", None),
    ],
)
def test_norms_are_folded_and_the_outputs_are_the_same(name: str, left: int | None) -> None:
    network = trained(small_network(name))
    before = state_of(network)
    form = form_of(network)
    with torch.no_grad():
        expected, found = network(images()), form(images())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    assert norms(form) < norms(network)
    if left is not None:
        assert norms(form) == left
    assert same_bits(before, state_of(network))


def test_what_is_read_does_not_change() -> None:
    network = trained(small_network("resnet20"))
    taps = (
        Tap(module="stem.0"),
        Tap(module="stem.1"),
        Tap(module="stem.2", position="before_relu"),
    )
    form = form_of(network, [tap.module for tap in taps])
    with Tapped(network, taps) as one, Tapped(form, taps) as other, torch.no_grad():
        first, second = one(images()), other(images())
    for tap in taps:
        torch.testing.assert_close(second.features[tap], first.features[tap], rtol=1e-3, atol=1e-3)
    assert norms(form) == 1, "all but the one that is read"


def test_cast_weights_give_autocast_s_own_bits() -> None:
    network = trained(small_network("resnet20"))
    form = form_of(network, dtype=torch.bfloat16, fold=False)
    assert norms(form) == norms(network)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(form(images()), network(images()))


def test_folded_bfloat16_is_as_near_to_float32_as_plain_bfloat16() -> None:
    network = trained(small_network("resnet20"))
    form = form_of(network, dtype=torch.bfloat16)
    with torch.no_grad():
        exact = network(images())
        with torch.autocast("cpu", torch.bfloat16):
            plain, folded = network(images()).float(), form(images()).float()
    assert (folded - exact).abs().mean() < 1.5 * (plain - exact).abs().mean() + 1e-6


class Twice(nn.Module):
    """Reads a convolution's output beside its norm, which no module shows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.conv(x_BCHW)
        logits_BK: Tensor = (self.bn(y_BCHW) + y_BCHW).mean((2, 3))
        return logits_BK


class Shared(nn.Module):
    """One norm behind two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(1, 3, 3)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y_BCHW: Tensor = self.bn(self.first(x_BCHW)) * self.bn(self.second(x_BCHW))
        return y_BCHW.mean((2, 3))


@pytest.mark.parametrize("network", [Twice(), Shared()])
def test_what_cannot_be_folded_is_not(network: nn.Module) -> None:
    network = trained(network)
    form = form_of(network)
    assert norms(form) == 1
    assert torch.equal(form(images()), network(images()))


def test_shared_and_in_place_activations_survive() -> None:
    network = trained(Traps())
    form = form_of(network)
    assert norms(form) == 0
    with torch.no_grad():
        torch.testing.assert_close(form(images()), network(images()), rtol=1e-4, atol=1e-5)


def test_no_random_number_is_drawn() -> None:
    network = trained(small_network("resnet8"))
    before = torch.get_rng_state()
    form_of(network)
    assert torch.equal(before, torch.get_rng_state())
