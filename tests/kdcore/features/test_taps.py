"""Taps read the place they name in any network, and do not change the network."""

import pytest
import torch
from torch import nn

from kdcore.features.taps import Tapped, find_module, is_activation
from kdcore.networks.zoo import build_network
from kdcore.runtime.errors import RunError
from kdcore.spec.knobs.base import Tap
from kdcore.spec.run import Input, Network
from tests.kdcore.tiny import Traps


def _image(side: int = 8) -> torch.Tensor:
    return torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(0))


def test_before_an_in_place_relu_sees_negative_values() -> None:
    """Trap 1: a hook on the value itself would see it after the ReLU."""
    network, tap = Traps().eval(), Tap(module="relu", position="before_relu")
    with Tapped(network, [tap]) as tapped:
        feature_BCHW = tapped(_image()).features[tap]
    torch.testing.assert_close(feature_BCHW, network.bn1(network.conv1(_image())))
    assert feature_BCHW.min() < 0


def test_in_place_relu_of_torchvision_resnet18() -> None:
    network = build_network(
        Network(
            architecture="torchvision/resnet18",
            num_classes=3,
            input=Input(channels=3, height=32, width=32),
        )
    ).eval()
    before = Tap(module="layer1.0.relu", position="before_relu", call=1)
    after = Tap(module="layer1.0.relu", call=1)
    with Tapped(network, [before, after]) as tapped, torch.no_grad():
        features = tapped(torch.randn(1, 3, 32, 32)).features
    assert features[before].min() < 0
    torch.testing.assert_close(features[before].relu(), features[after])


def test_each_call_of_a_shared_relu_is_its_own_tap() -> None:
    """Trap 2: one module, several calls in a pass."""
    first, second = Tap(module="relu"), Tap(module="relu", call=1)
    with Tapped(Traps().eval(), [first, second]) as tapped:
        for _ in range(2):  # the count starts anew in every pass
            features = tapped(_image()).features
            assert features[first].shape[2:] == (8, 8) and features[second].shape[2:] == (4, 4)


def test_a_later_in_place_sum_does_not_change_what_was_read() -> None:
    network, tap = Traps().eval(), Tap(module="bn2")
    with Tapped(network, [tap]) as tapped:
        feature_BCHW = tapped(_image()).features[tap]
    y_BCHW = network.bn1(network.conv1(_image())).relu()
    torch.testing.assert_close(feature_BCHW, network.bn2(network.conv2(y_BCHW)))


def test_taps_change_neither_outputs_nor_gradients_nor_batch_norm_updates() -> None:
    """Trap 3: nothing is computed twice."""
    results = []
    taps = [Tap(module="relu", position="before_relu", call=1), Tap(module="bn1")]
    for wanted in ([], taps):
        torch.manual_seed(0)
        network = Traps()
        network.dropout.p = 0.0
        with Tapped(network, wanted) as tapped:
            logits_BK = tapped(_image()).logits_BK
        assert logits_BK is not None
        logits_BK.sum().backward()  # type: ignore[no-untyped-call]
        assert network.conv1.weight.grad is not None and network.bn1.running_mean is not None
        results.append((logits_BK, network.conv1.weight.grad, network.bn1.running_mean))
        assert network.bn1.num_batches_tracked == 1
    for plain, read in zip(*results, strict=True):
        assert torch.equal(plain, read)


def test_gradients_flow_back_through_a_reading() -> None:
    network, tap = Traps(), Tap(module="relu", position="before_relu")
    with Tapped(network, [tap]) as tapped:
        tapped(_image()).features[tap].square().sum().backward()  # type: ignore[no-untyped-call]
    assert network.conv1.weight.grad is not None and network.conv1.weight.grad.abs().sum() > 0


def test_without_logits_the_pass_ends_at_the_deepest_tap() -> None:
    network = Traps()
    taps = [Tap(module="bn1"), Tap(module="relu")]
    with Tapped(network, taps, logits=False) as tapped:
        outputs = tapped(_image())
    assert outputs.logits_BK is None and set(outputs.features) == set(taps)
    assert network.bn1.num_batches_tracked == 1
    assert network.bn2.num_batches_tracked == 0


def test_hooks_are_silent_for_others_and_gone_after_close() -> None:
    network = Traps().eval()
    tapped = Tapped(network, [Tap(module="bn1")], logits=False)
    assert network(_image()).shape == (2, 3)
    tapped.close()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_wrong_path_names_the_closest() -> None:
    message = "the student has no module 'relu1'; did you mean relu"
    with pytest.raises(RunError, match=message) as caught:
        Tapped(Traps(), [Tap(module="relu1")], name="the student")
    assert caught.value.code == "tap_not_found"


def test_before_relu_of_something_else_is_refused() -> None:
    with pytest.raises(RunError, match="'bn1' of t is a BatchNorm2d") as caught:
        find_module(Traps(), Tap(module="bn1", position="before_relu"), "t")
    assert caught.value.code == "tap_not_activation"


def test_a_call_that_does_not_happen_is_named() -> None:
    tapped = Tapped(Traps(), [Tap(module="relu", call=2)], name="t")
    with pytest.raises(
        RunError, match="is called 2 times in one pass, so there is no call 2"
    ) as caught:
        tapped(_image())
    assert caught.value.code == "tap_not_called"


def test_a_module_that_does_not_return_a_tensor_is_named() -> None:
    class Pair(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x, x

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.pair(x)[0]
            return out

    tapped = Tapped(Net(), [Tap(module="pair")], name="t")
    with pytest.raises(RunError, match="returns a tuple, not a tensor"):
        tapped(_image())


def test_activations_are_elementwise_nonlinearities() -> None:
    assert is_activation(nn.ReLU()) and is_activation(nn.GELU()) and is_activation(nn.PReLU())
    assert not is_activation(nn.Softmax(1)) and not is_activation(nn.Conv2d(1, 1, 1))
    assert not is_activation(nn.MultiheadAttention(4, 1))
