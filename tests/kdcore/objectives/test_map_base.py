"""What all methods on maps share: which levels are paired, and with which teacher.

B: batch, C: channels, H, W: height and width.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.features.probe import Probe
from kdcore.objectives.base import MethodContext
from kdcore.objectives.map_base import (
    MapMethod,
    Pair,
    RelationMethod,
    embedding,
    pooled_to,
    same_size,
)
from kdcore.spec.knobs.base import MapKnobs
from kdcore.spec.knobs.relations import SpKnobs
from tests.kdcore.methods.pairs import BATCH, between, passes, random, refusal
from tests.kdcore.tiny import Traps


class _Three(nn.Module):
    """Maps of 8x8, 4x4 and 2x2 with 2, 3 and 5 channels."""

    def __init__(self) -> None:
        super().__init__()
        channels = (1, 2, 3, 5)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride, 1), nn.ReLU())
                for a, b, stride in zip(channels, channels[1:], (1, 2, 2), strict=False)
            )
        )
        self.head = nn.Linear(5, 3)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = self.head(self.stages(x_BCHW).mean((2, 3)))
        return logits_BK


class _Plain(MapMethod[MapKnobs]):
    """Returns the first teacher level's mean; builds a head with the channels of its pairs."""

    def build(self, pairs: Sequence[Pair], teacher: Probe, context: MethodContext) -> nn.Module:
        sizes = [(own.grid.channels, theirs.grid.channels) for own, theirs in pairs]
        return nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in sizes)

    def compare(
        self, part: nn.Module, students: list[Tensor], teachers: list[Tensor], batch: Batch
    ) -> Tensor:
        return teachers[0].mean()


class _Relating(RelationMethod[SpKnobs]):
    """A method that takes vectors too."""


def _method(context: MethodContext, **knobs: Any) -> _Plain:
    return _Plain(MapKnobs.model_validate({"method": "plain", **knobs}), context)


def _taps(*modules: str) -> list[dict[str, str]]:
    return [{"module": module} for module in modules]


def _paired(method: MapMethod[Any]) -> list[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    return [(own.shape, theirs.shape) for own, theirs in method.pairs[0]]


def test_levels_are_paired_from_the_deepest_up() -> None:
    """The network with more levels keeps its deep ones."""
    assert _paired(_method(between(_Three()))) == [
        ((4, 8, 8), (3, 4, 4)),
        ((4, 4, 4), (5, 2, 2)),
    ]
    assert _paired(_method(between(student=_Three()))) == [
        ((3, 4, 4), (4, 8, 8)),
        ((5, 2, 2), (4, 4, 4)),
    ]


@pytest.mark.parametrize(("levels", "pairs"), [(1, 1), (2, 2), (3, 3), (4, 3), (16, 3)])
def test_levels_are_limited_to_the_deepest(levels: int, pairs: int) -> None:
    method = _method(between(_Three(), student=_Three()), levels=levels)
    shapes = [(2, 8, 8), (3, 4, 4), (5, 2, 2)]
    assert _paired(method) == [(shape, shape) for shape in shapes[-pairs:]]


def test_taps_of_one_network_are_paired_with_the_others_deepest_levels() -> None:
    own = _method(between(_Three()), student_taps=_taps("bn1"))
    assert _paired(own) == [((4, 8, 8), (5, 2, 2))]
    theirs = _method(between(_Three()), teacher_taps=_taps("stages.0", "stages.1"))
    assert _paired(theirs) == [((4, 8, 8), (2, 8, 8)), ((4, 4, 4), (3, 4, 4))]


def test_taps_of_both_networks_are_paired_in_order_whatever_levels_says() -> None:
    method = _method(
        between(_Three()),
        levels=1,
        student_taps=_taps("bn2", "bn1"),
        teacher_taps=_taps("stages.0", "stages.2"),
    )
    assert _paired(method) == [((4, 4, 4), (2, 8, 8)), ((4, 8, 8), (5, 2, 2))]
    assert [tap.module for tap in method.student_taps] == ["bn2", "bn1"]
    assert [tap.module for tap in method.teacher_taps[0]] == ["stages.0", "stages.2"]


@pytest.mark.parametrize(
    ("knob", "pointer"),
    [("student_taps", "/teacher_taps"), ("teacher_taps", "/student_taps")],
)
def test_more_taps_than_the_other_network_has_levels_are_refused(knob: str, pointer: str) -> None:
    """The pointer is at the taps of the other network, which would help."""
    taps = _taps("conv1", "bn1", "conv2")
    error = refusal(lambda: _method(between(), **{knob: taps}))
    assert (error.code, error.pointer) == ("tap_count_mismatch", pointer)
    assert "3 taps are given" in error.message and "2" in error.message


def test_taps_of_both_in_different_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="1 student_taps, but 2 teacher_taps"):
        _method(between(), student_taps=_taps("bn1"), teacher_taps=_taps("bn1", "bn2"))


@pytest.mark.parametrize("knob", ["student_taps", "teacher_taps"])
def test_a_vector_is_refused_for_maps_and_fine_for_relations(knob: str) -> None:
    error = refusal(lambda: _method(between(), **{knob: _taps("bn1", "head")}))
    assert (error.code, error.pointer) == ("not_a_map", f"/{knob}/1")
    relating = _Relating(SpKnobs.model_validate({knob: _taps("head")}), between())
    own, theirs = relating.pairs[0][0]
    assert (own if knob == "student_taps" else theirs).shape == (3, 1, 1)


def test_relations_need_several_samples() -> None:
    assert refusal(lambda: _Relating(SpKnobs(), between(batch_size=1))).code == "batch_too_small"


@pytest.mark.parametrize("knob", ["student_taps", "teacher_taps"])
def test_a_wrong_tap_points_at_its_place(knob: str) -> None:
    error = refusal(lambda: _method(between(), **{knob: _taps("bn1", "layer9")}))
    assert (error.code, error.pointer) == ("tap_not_found", f"/{knob}/1")


def test_a_network_without_maps_points_at_the_taps_to_name() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 3))
    error = refusal(lambda: _method(between(flat)))
    assert (error.code, error.pointer) == ("no_default_tap", "/teacher_taps")
    error = refusal(lambda: _method(between(student=flat)))
    assert (error.code, error.pointer) == ("no_default_tap", "/student_taps")


def test_each_teacher_has_its_own_pairs_head_and_weight() -> None:
    method = _method(between(Traps(6), _Three(), weights=(1.0, 3.0)), levels=1)
    shapes = [p.shape[:2] for part in method.heads for p in part.parameters() if p.ndim == 4]
    assert shapes == [(6, 4), (5, 4)]
    assert [[tap.module for tap in taps] for taps in method.teacher_taps] == [["relu"], ["stages"]]
    student, teachers = passes(method)
    first, second = (next(iter(t.features.values())).mean() for t in teachers)
    loss = method(student, teachers, BATCH)
    torch.testing.assert_close(loss, {"plain": 0.25 * first + 0.75 * second})


def test_a_students_tap_is_read_once_for_all_teachers() -> None:
    method = _method(between(Traps(), Traps()))
    assert len(method.student_taps) == 2
    assert not method.student_logits and not method.teacher_logits


def test_two_maps_meet_at_the_smaller_height_and_the_smaller_width() -> None:
    a_BCHW, b_BCHW = random(2, 3, 8, 2), random(2, 5, 4, 6, seed=1)
    small_a, small_b = same_size(a_BCHW, b_BCHW)
    assert (small_a.shape, small_b.shape) == ((2, 3, 4, 2), (2, 5, 4, 2))
    torch.testing.assert_close(small_a, functional.avg_pool2d(a_BCHW, (2, 1)))
    torch.testing.assert_close(small_b, functional.avg_pool2d(b_BCHW, (1, 3)))


def test_a_map_that_has_the_size_does_not_change() -> None:
    x_BCHW = random(2, 3, 4, 4)
    assert pooled_to(x_BCHW, 4, 4) is x_BCHW
    assert same_size(x_BCHW, random(2, 3, 8, 8))[0] is x_BCHW


def test_embedding_is_the_mean_over_positions() -> None:
    x_BCHW = random(2, 3, 4, 6)
    torch.testing.assert_close(embedding(x_BCHW), x_BCHW.flatten(2).mean(2))
