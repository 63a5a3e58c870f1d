"""Narrow strided 1x1 convolutions train correctly in the channels-last layout on every CPU."""

import copy

import pytest
import torch
from torch import nn

from kdcore.networks.pointwise import StridedPointwise, is_affected, replace_affected
from kdcore.networks.zoo import build_network
from tests.kdcore.networks.test_zoo import network


@pytest.mark.parametrize(("groups", "stride"), [(1, 2), (2, (2, 3))])
def test_the_replacement_computes_the_same(groups: int, stride: int | tuple[int, int]) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(4, 6, 1, stride, groups=groups).double())
    safe = copy.deepcopy(plain)
    replace_affected(safe)
    assert isinstance(safe[0], StridedPointwise)
    assert list(safe.state_dict()) == list(plain.state_dict())
    x_BCHW = torch.randn(3, 4, 9, 8, dtype=torch.float64)
    assert torch.allclose(safe(x_BCHW), plain(x_BCHW))


def test_only_what_could_meet_the_fault_is_replaced() -> None:
    affected = [nn.Conv2d(15, 9, 1, 2), nn.Conv2d(32, 32, 1, (1, 2), groups=4)]
    sound = [nn.Conv2d(16, 9, 1, 2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, 2), nn.ReLU()]
    assert [is_affected(m) for m in (*affected, *sound)] == [True, True, *[False] * 4]


def test_the_smallest_student_has_true_gradients_in_channels_last() -> None:
    """Without the replacement this crashes, hangs or gives other gradients."""
    torch.manual_seed(0)
    student = network("resnet8", channels=1, size=(28, 28), options={"width": 0.25})
    module = build_network(student)
    reference = copy.deepcopy(module).double()
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x_BCHW = torch.rand(64, 1, 28, 28).to(memory_format=torch.channels_last)
    for _ in range(5):
        module.zero_grad()
        module(x_BCHW).logsumexp(1).mean().backward()
    reference(x_BCHW.double()).logsumexp(1).mean().backward()
    for (path, given), wanted in zip(
        module.named_parameters(), reference.parameters(), strict=True
    ):
        assert given.grad is not None and wanted.grad is not None
        assert torch.allclose(given.grad.double(), wanted.grad, atol=1e-4), path
