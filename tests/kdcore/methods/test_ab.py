"""Activation boundaries: the side of zero counts, up to a margin on either side."""

from typing import cast

import pytest
import torch
from torch import nn

from kdcore.methods.ab import SCALE, Ab, boundaries_loss, boundary_loss
from kdcore.spec.knobs.maps import AbKnobs
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


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        (3.0, 1.0, 0.0),  # beyond the margin on the teacher's side
        (0.5, 1.0, 2.25),  # on its side, but within the margin of 2
        (-1.0, 1.0, 9.0),  # on the other side
        (-3.0, -1.0, 0.0),
        (-0.5, -1.0, 2.25),
        (1.0, -1.0, 9.0),
        (1.0, 0.0, 9.0),  # a teacher at zero is silent
    ],
)
def test_there_is_a_margin_on_both_sides(student: float, teacher: float, expected: float) -> None:
    s_BCHW, t_BCHW = (torch.full((1, 1, 1, 1), value) for value in (student, teacher))
    assert boundary_loss(s_BCHW, t_BCHW, 2.0).item() == pytest.approx(expected)


def test_how_far_the_teacher_is_from_zero_does_not_count() -> None:
    s_BCHW, t_BCHW = random(2, 3, 4, 4), random(2, 3, 4, 4, seed=1)
    loss = boundary_loss(s_BCHW, t_BCHW, 1.0)
    assert loss.item() > 1
    assert torch.equal(boundary_loss(s_BCHW, 1000 * t_BCHW, 1.0), loss)
    assert boundary_loss(t_BCHW.sign(), t_BCHW, 0.5).item() == 0


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((2, 3, 4, 4), 6e4, dtype=dtype)
    assert_finite(boundary_loss(huge_BCHW, -huge_BCHW, 1.0))


def test_the_deepest_level_counts_most_and_the_batch_is_divided_by() -> None:
    maps = [(random(2, 3, 4, 4, seed=n), random(2, 3, 4, 4, seed=9 + n)) for n in range(3)]
    students, teachers = zip(*maps, strict=True)
    expected = [
        SCALE / 2 * weight * boundary_loss(s, t, 1.0)
        for weight, (s, t) in zip((0.25, 0.5, 1.0), maps, strict=True)
    ]
    torch.testing.assert_close(boundaries_loss(students, teachers, 1.0), expected)


def test_a_connector_for_every_level_brings_the_teachers_channels() -> None:
    method = Ab(AbKnobs(margin=0.5), between(Traps(6))).eval()
    connectors = list(cast(nn.ModuleList, method.heads[0]))
    for connector in connectors:
        convolution, norm = cast(nn.Sequential, connector)
        assert isinstance(convolution, nn.Conv2d) and convolution.kernel_size == (1, 1)
        assert convolution.bias is None and convolution.out_channels == 6
        assert isinstance(norm, nn.BatchNorm2d)
    student, (teacher,) = passes(method)
    own = [c(s) for c, s in zip(connectors, student.features.values(), strict=True)]
    expected = torch.stack(boundaries_loss(own, list(teacher.features.values()), 0.5)).sum()
    torch.testing.assert_close(method(student, [teacher], BATCH), {"ab": expected})


def test_default_taps_read_before_the_relu() -> None:
    method = Ab(AbKnobs(), between())
    assert {t.position for t in (*method.student_taps, *method.teacher_taps[0])} == {"before_relu"}


def test_maps_of_other_sizes_meet_at_the_smaller() -> None:
    knobs = AbKnobs.model_validate(
        {"student_taps": ({"module": "bn2"},), "teacher_taps": ({"module": "bn1"},)}
    )
    method = Ab(knobs, between()).eval()
    student, (teacher,) = passes(method)
    (s,), (t,) = student.features.values(), teacher.features.values()
    assert (s.shape[2:], t.shape[2:]) == ((4, 4), (8, 8))
    connector = cast(nn.ModuleList, method.heads[0])[0]
    pooled = nn.functional.avg_pool2d(t, 2)
    expected = boundary_loss(connector(s), pooled, 1.0) * SCALE / len(s)
    torch.testing.assert_close(method(student, [teacher], BATCH)["ab"], expected)


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Ab(AbKnobs(), context))


def test_a_vector_is_refused() -> None:
    knobs = AbKnobs.model_validate({"student_taps": ({"module": "head"},)})
    error = refusal(lambda: Ab(knobs, between()))
    assert (error.code, error.pointer) == ("not_a_map", "/student_taps/0")
