"""Knowledge Review: the fusion of levels, the context loss at any shape, and the pooled level."""

from typing import cast

import pytest
import torch
from torch import nn
from torch.nn import functional

from kdcore.features.probe import Probe
from kdcore.methods.reviewkd import Fusion, Reviewkd, hierarchical_context_loss
from kdcore.objectives.base import MethodContext
from kdcore.objectives.map_base import embedding
from kdcore.spec.knobs.maps import ReviewkdKnobs
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


def _fusions(method: Reviewkd, teacher: int = 0) -> list[Fusion]:
    part = cast(nn.ModuleList, method.heads[teacher])
    return [fusion for fusion in part if isinstance(fusion, Fusion)]


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((8, 8), (4, 2, 1)), ((4, 4), (2, 1)), ((1, 1), ()), ((8, 4), (2, 1)), ((3, 9), (2, 1))],
)
def test_context_loss_is_the_weighted_mean_at_full_and_pooled_sizes(
    shape: tuple[int, int], sizes: tuple[int, ...]
) -> None:
    """Half the weight at each smaller size that is below the shorter side."""
    s_BCHW, t_BCHW = random(2, 3, *shape), random(2, 3, *shape, seed=1)
    errors = [functional.mse_loss(s_BCHW, t_BCHW)]
    for size in sizes:
        s_BCll, t_BCll = (functional.adaptive_avg_pool2d(x, size) for x in (s_BCHW, t_BCHW))
        errors.append(functional.mse_loss(s_BCll, t_BCll))
    weights = [2.0**-n for n in range(len(errors))]
    expected = sum(w * e.item() for w, e in zip(weights, errors, strict=True)) / sum(weights)
    assert hierarchical_context_loss(s_BCHW, t_BCHW).item() == pytest.approx(expected, rel=1e-5)


def test_a_constant_difference_costs_its_square_at_every_size() -> None:
    t_BCHW = random(2, 3, 8, 8)
    assert hierarchical_context_loss(t_BCHW, t_BCHW).item() == 0
    assert hierarchical_context_loss(t_BCHW + 3, t_BCHW).item() == pytest.approx(9, rel=1e-5)


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((2, 3, 8, 8), 6e4, dtype=dtype)
    assert_finite(hierarchical_context_loss(huge_BCHW, -huge_BCHW))


def test_the_deepest_fusion_has_no_attention_and_fuses_nothing() -> None:
    deepest = Fusion(3, 5, 7, deepest=True)
    output_BCHW, fused_BMHW = deepest(random(2, 3, 4, 4), None, (4, 4))
    assert deepest.attention is None
    assert output_BCHW.shape == (2, 7, 4, 4) and fused_BMHW.shape == (2, 5, 4, 4)


@pytest.mark.parametrize("which", [0, 1])
def test_attention_mixes_the_own_level_with_the_deeper_one_enlarged(which: int) -> None:
    """With one attention map open and the other shut only one of both is left."""
    fusion = Fusion(3, 5, 7, deepest=False).eval()
    assert fusion.attention is not None
    mix = cast(nn.Conv2d, fusion.attention[0])
    nn.init.zeros_(mix.weight)
    assert mix.bias is not None
    mix.bias.data = torch.tensor([50.0, -50.0] if which == 0 else [-50.0, 50.0])
    own_BCHW, deeper_BMHW = random(2, 3, 4, 6), random(2, 5, 2, 3, seed=1)
    output_BCHW, fused_BMHW = fusion(own_BCHW, deeper_BMHW, (4, 6))
    enlarged_BMHW = deeper_BMHW.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected_BMHW = fusion.reduce(own_BCHW) if which == 0 else enlarged_BMHW
    torch.testing.assert_close(fused_BMHW, expected_BMHW)
    torch.testing.assert_close(output_BCHW, fusion.expand(expected_BMHW))


def test_the_output_has_the_teachers_size() -> None:
    fusion = Fusion(3, 5, 7, deepest=False)
    output_BCHW, fused_BMHW = fusion(random(2, 3, 4, 6), random(2, 5, 1, 1), (8, 12))
    assert output_BCHW.shape == (2, 7, 8, 12) and fused_BMHW.shape == (2, 5, 8, 12)


@pytest.mark.parametrize(
    ("channels", "knob", "middle"), [(4, None, 4), (600, None, 512), (4, 9, 9), (600, 700, 700)]
)
def test_middle_width_is_the_deepest_students_at_most_512_or_the_knob(
    channels: int, knob: int | None, middle: int
) -> None:
    knobs = ReviewkdKnobs(middle_width=knob, levels=1)
    method = Reviewkd(knobs, between(student=Traps(channels)))
    widths = [cast(nn.Conv2d, fusion.reduce[0]).out_channels for fusion in _fusions(method)]
    assert widths == [middle, middle]


def test_every_level_and_the_pooled_one_are_compared_from_deep_to_shallow() -> None:
    method = Reviewkd(ReviewkdKnobs(), between(Traps(6))).eval()
    student, (teacher,) = passes(method)
    (s0, s1), (t0, t1) = student.features.values(), teacher.features.values()
    shallow, deep, pooled = _fusions(method)
    assert [f.attention is None for f in (shallow, deep, pooled)] == [False, False, True]
    s2, t2 = (embedding(x.relu())[:, :, None, None] for x in (s1, t1))
    expected, fused = torch.zeros(()), None
    for fusion, s, t in ((pooled, s2, t2), (deep, s1, t1), (shallow, s0, t0)):
        output, fused = fusion(s, fused, t.shape[2:])
        expected = expected + hierarchical_context_loss(output, t)
    torch.testing.assert_close(method(student, [teacher], BATCH), {"reviewkd": expected})


def test_shallow_levels_teach_the_deep_ones_too() -> None:
    """That is the review: the shallow teacher level alone moves the deepest student level."""
    method = Reviewkd(ReviewkdKnobs(), between()).eval()
    shallow, deep, pooled = _fusions(method)
    s0, s1 = random(2, 4, 8, 8), random(2, 4, 4, 4, seed=1).requires_grad_()
    _, fused = pooled(embedding(s1)[:, :, None, None], None, (1, 1))
    _, fused = deep(s1, fused, (4, 4))
    output, _ = shallow(s0, fused, (8, 8))
    (grad,) = torch.autograd.grad(output.square().sum(), s1)
    assert grad.abs().max() > 0


def test_images_need_not_be_square() -> None:
    image_1CHW = torch.zeros(1, 1, 8, 16)
    seen = [Probe(name, Traps(), 3, image_1CHW) for name in ("the student", "t")]
    method = Reviewkd(ReviewkdKnobs(), MethodContext(seen[0], (seen[1],), (1.0,)))
    student, teachers = passes(method)
    assert [x.shape[2:] for x in student.features.values()] == [(8, 16), (4, 8)]
    assert torch.isfinite(method(student, teachers, BATCH)["reviewkd"])


def test_default_taps_read_before_the_relu() -> None:
    method = Reviewkd(ReviewkdKnobs(), between())
    assert {t.position for t in (*method.student_taps, *method.teacher_taps[0])} == {"before_relu"}


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Reviewkd(ReviewkdKnobs(), context))


def test_one_sample_cannot_be_normalised_where_it_is_pooled() -> None:
    error = refusal(lambda: Reviewkd(ReviewkdKnobs(), between(batch_size=1)))
    assert error.code == "batch_too_small" and "needs at least 2, not 1" in error.message


def test_a_vector_is_refused() -> None:
    knobs = ReviewkdKnobs.model_validate({"teacher_taps": ({"module": "head"},)})
    error = refusal(lambda: Reviewkd(knobs, between()))
    assert (error.code, error.pointer) == ("not_a_map", "/teacher_taps/0")
