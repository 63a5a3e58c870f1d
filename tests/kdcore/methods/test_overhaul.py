"""The overhaul: margins, what the partial distance ignores, connectors and levels' weights."""

import math

import pytest
import torch
from torch import nn

from kdcore.methods.overhaul import Connector, Overhaul, margin_of_norm, partial_l2
from kdcore.spec.knobs.maps import OverhaulKnobs
from tests.kdcore.methods.pairs import (
    BATCH,
    HALVES,
    assert_finite,
    assert_weighted,
    between,
    passes,
    random,
    refusal,
)
from tests.kdcore.tiny import Traps

MARGIN = torch.tensor([-1.0])


def _norm(weight: float, bias: float, channels: int = 1) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    nn.init.constant_(norm.weight, weight)
    nn.init.constant_(norm.bias, bias)
    return norm


def _plain() -> nn.Module:
    """A network without batch norms."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(64, 3),
    )


def _connector(norm: nn.Module | None = None) -> Connector:
    """One channel, whose connection gives the student's value itself."""
    connector = Connector(1, 1, norm)
    nn.init.ones_(connector.convolution.weight)
    connector.norm = nn.Identity()  # type: ignore[assignment]
    return connector


@pytest.mark.parametrize(("weight", "bias"), [(1.0, 0.0), (-2.0, 1.0), (0.5, -3.0)])
def test_margin_is_the_mean_of_a_normal_distributions_negative_part(
    weight: float, bias: float
) -> None:
    drawn = bias + abs(weight) * random(400_000).double()
    margin_C = margin_of_norm(torch.tensor([weight]), torch.tensor([bias]))
    assert margin_C.item() == pytest.approx(drawn[drawn < 0].mean().item(), rel=0.01)


def test_margin_is_three_deviations_where_negative_values_are_rare() -> None:
    margin_C = margin_of_norm(torch.tensor([2.0, -1.0]), torch.tensor([9.0, 30.0]))
    assert margin_C.tolist() == [-6.0, -3.0]


def test_margin_of_a_channel_without_spread_does_not_divide_by_zero() -> None:
    """gamma = 0: the channel is its beta everywhere."""
    margin_C = margin_of_norm(torch.zeros(3), torch.tensor([-2.0, 0.0, 2.0]))
    torch.testing.assert_close(margin_C, torch.tensor([-2.0, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        (3.0, 1.0, 4.0),  # above zero both ways
        (-2.0, 1.0, 9.0),
        (0.5, -0.5, 1.0),  # above a negative response
        (-0.8, -0.5, 0.0),  # below it: nothing to learn
        (0.0, -5.0, 1.0),  # of a large negative response only the margin counts
        (-1.5, -5.0, 0.0),
        (-0.5, 0.0, 0.0),
    ],
)
def test_partial_distance_ignores_what_lies_below_a_silent_teacher(
    student: float, teacher: float, expected: float
) -> None:
    s_BCHW, t_BCHW = (torch.full((1, 1, 1, 1), value) for value in (student, teacher))
    assert partial_l2(s_BCHW, t_BCHW, MARGIN).item() == pytest.approx(expected)


def test_a_student_of_the_teachers_responses_costs_nothing() -> None:
    t_BCHW = random(2, 1, 4, 4)
    assert partial_l2(t_BCHW.clamp(min=-1), t_BCHW, MARGIN).item() == 0


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((2, 1, 4, 4), 6e4, dtype=dtype)
    assert_finite(partial_l2(huge_BCHW, -huge_BCHW, MARGIN.to(dtype)))


def test_connector_starts_as_the_paper_says_and_has_no_bias() -> None:
    connector = Connector(64, 256, None)
    assert connector.convolution.weight.std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.05)
    assert connector.convolution.weight.mean().item() == pytest.approx(0, abs=0.005)
    assert connector.convolution.bias is None and isinstance(connector.norm, nn.BatchNorm2d)


def test_margins_come_from_the_norm_before_the_relu_of_the_teacher() -> None:
    teacher = Traps()
    nn.init.constant_(teacher.bn1.weight, 0.7)
    nn.init.constant_(teacher.bn2.bias, -0.4)
    (part,) = Overhaul(OverhaulKnobs(), between(teacher)).heads
    for connector, norm in zip(part.children(), (teacher.bn1, teacher.bn2), strict=True):
        assert isinstance(connector, Connector) and not connector.measured
        assert torch.equal(connector.margin_C, margin_of_norm(norm.weight, norm.bias))


def test_without_a_norm_the_margin_is_a_running_mean_of_negative_responses() -> None:
    connector, s_BCHW = _connector(), torch.zeros(1, 1, 1, 4)
    connector(s_BCHW, torch.tensor([-1.0, -3.0, 5.0, 0.0]).view(1, 1, 1, 4))
    assert connector.margin_C.item() == pytest.approx(-2)
    connector(s_BCHW, torch.tensor([-4.0, 5.0, 5.0, 5.0]).view(1, 1, 1, 4))
    assert connector.margin_C.item() == pytest.approx(-2.2)
    assert "margin_C" in connector.state_dict()


def test_a_batch_without_negative_responses_has_no_mean_of_them() -> None:
    connector, s_BCHW = _connector(), torch.zeros(1, 1, 1, 1)
    positive_BCHW = torch.full((1, 1, 1, 1), 2.0)
    assert torch.isfinite(connector(s_BCHW, positive_BCHW))
    connector(s_BCHW, torch.full((1, 1, 1, 1), -2.0))
    connector(s_BCHW, positive_BCHW)
    assert connector.margin_C.item() == pytest.approx(-2)


@pytest.mark.parametrize("norm", [None, _norm(1.0, 0.0)])
def test_margins_do_not_move_in_validation_nor_where_a_norm_gave_them(
    norm: nn.Module | None,
) -> None:
    connector = _connector(norm).train(norm is not None)
    before_C = connector.margin_C.clone()
    assert torch.isfinite(connector(torch.ones(1, 1, 2, 2), torch.full((1, 1, 2, 2), -4.0)))
    torch.testing.assert_close(connector.margin_C, before_C, equal_nan=True)


def test_a_network_without_norms_is_measured() -> None:
    (part,) = Overhaul(OverhaulKnobs(), between(_plain())).heads
    assert [c.measured for c in part.children() if isinstance(c, Connector)] == [True, True]


def test_the_deepest_level_counts_in_full_each_one_before_half() -> None:
    """The sum over positions, divided by the batch: 2^-(n-1-i) of level i."""
    taps = tuple({"module": name} for name in ("bn1", "relu", "bn2"))
    knobs = OverhaulKnobs.model_validate({"student_taps": taps, "teacher_taps": taps})
    method = Overhaul(knobs, between()).eval()
    student, (teacher,) = passes(method)
    (part,) = method.heads
    maps = zip(part.children(), student.features.values(), teacher.features.values(), strict=True)
    each = [connector(s, t) for connector, s, t in maps]
    expected = (each[0] / 4 + each[1] / 2 + each[2]) / len(BATCH.index_B)
    torch.testing.assert_close(method(student, [teacher], BATCH), {"overhaul": expected})


@pytest.mark.parametrize(("student", "teacher"), [((8, 4), (4, 2)), ((4, 2), (8, 4))])
def test_a_student_of_another_size_is_brought_to_the_teachers(
    student: tuple[int, int], teacher: tuple[int, int]
) -> None:
    s_BCHW, t_BCHW = torch.full((2, 1, *student), 3.0), torch.full((2, 1, *teacher), 1.0)
    loss = _connector(_norm(1.0, 0.0))(s_BCHW, t_BCHW)
    assert loss.item() == pytest.approx(4 * t_BCHW.numel())


def test_reads_before_the_relu_and_the_teachers_norms_in_training_mode() -> None:
    method = Overhaul(OverhaulKnobs(), between())
    assert method.teacher_batch_norm == "train"
    taps = (*method.student_taps, *method.teacher_taps[0])
    assert [(t.module, t.call, t.position) for t in taps] == [
        ("relu", 0, "before_relu"),
        ("relu", 1, "before_relu"),
    ] * 2


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Overhaul(OverhaulKnobs(), context))


def test_before_relu_of_what_is_not_an_activation_is_refused() -> None:
    tap = {"module": "bn1", "position": "before_relu"}
    knobs = OverhaulKnobs.model_validate({"teacher_taps": (tap,)})
    error = refusal(lambda: Overhaul(knobs, between()))
    assert (error.code, error.pointer) == ("tap_not_activation", "/teacher_taps/0")
