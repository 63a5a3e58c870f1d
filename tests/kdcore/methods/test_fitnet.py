"""Hints: the golden values, regressors for any pair of maps, and what does not fit."""

import pytest
import torch
from torch import nn

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.methods.fitnet import Fitnet, hint_loss, make_regressor
from kdcore.objectives.base import MethodContext
from kdcore.runtime.errors import RunError
from kdcore.spec.knobs.base import Tap
from kdcore.spec.knobs.maps import FitnetKnobs
from tests.kdcore.tiny import Traps, golden, probe

BATCH = Batch(torch.arange(2), torch.zeros(2, 1, 8, 8), None)


def test_golden_values() -> None:
    case = golden("fitnet_hint")
    student_BCHW = case["student"].requires_grad_()
    loss = hint_loss(student_BCHW, case["teacher"])
    loss.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loss[None], case["loss"], rtol=1e-5, atol=0)
    torch.testing.assert_close(student_BCHW.grad, case["grad_student"], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((2, 3, 4, 4), 6e4, dtype=dtype)
    loss = hint_loss(huge_BCHW, -huge_BCHW)
    assert loss.dtype is torch.float32 and bool(torch.isfinite(loss))


@pytest.mark.parametrize(
    ("guided", "hint", "kind"),
    [
        ((4, 8, 8), (6, 8, 8), nn.Conv2d),
        ((4, 8, 8), (6, 4, 4), nn.Conv2d),
        ((4, 9, 6), (6, 3, 2), nn.Conv2d),
        ((4, 4, 4), (6, 8, 8), nn.ConvTranspose2d),
        ((4, 3, 2), (6, 9, 6), nn.ConvTranspose2d),
        ((4, 7, 7), (6, 4, 4), nn.Sequential),
        ((4, 8, 4), (6, 4, 8), nn.Sequential),
    ],
)
def test_regressor_brings_channels_and_size_to_the_hints(
    guided: tuple[int, ...], hint: tuple[int, ...], kind: type[nn.Module]
) -> None:
    regressor = make_regressor(guided, hint)
    assert isinstance(regressor, kind)
    assert regressor(torch.zeros(2, *guided)).shape == (2, *hint)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in regressor.modules())


def test_by_default_the_middle_layers_and_the_hints_own_nonlinearity() -> None:
    method = Fitnet(FitnetKnobs(), MethodContext(probe(Traps()), (probe(Traps(6), "t"),), (1.0,)))
    assert method.student_taps == (Tap(module="relu"),)
    assert method.teacher_taps == ((Tap(module="relu"),),)
    regressor = method.regressors[0]
    assert isinstance(regressor, nn.Sequential)
    assert isinstance(regressor[0], nn.Conv2d) and isinstance(regressor[-1], nn.ReLU)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in regressor)


def test_a_hint_before_its_relu_is_regressed_without_one() -> None:
    knobs = FitnetKnobs(hint=Tap(module="relu", position="before_relu"))
    method = Fitnet(knobs, MethodContext(probe(Traps()), (probe(Traps(), "t"),), (1.0,)))
    regressor = method.regressors[0]
    assert isinstance(regressor, nn.Sequential) and isinstance(regressor[-1], nn.Identity)


def test_the_joint_forms_regressor_can_have_a_batch_norm() -> None:
    knobs = FitnetKnobs(regressor_batch_norm=True)
    method = Fitnet(knobs, MethodContext(probe(Traps()), (probe(Traps(6), "t"),), (1.0,)))
    regressor = method.regressors[0]
    assert isinstance(regressor, nn.Sequential) and isinstance(regressor[1], nn.BatchNorm2d)
    assert regressor[1].num_features == 6


def test_several_teachers_have_a_regressor_each_and_count_by_weight() -> None:
    teachers = (probe(Traps(), "a"), probe(Traps(6), "b"))
    method = Fitnet(FitnetKnobs(), MethodContext(probe(Traps()), teachers, (3.0, 1.0)))
    (guided,), (hint_a,), (hint_b,) = method.student_taps, *method.teacher_taps
    student = Outputs(None, {guided: torch.rand(2, 4, 8, 8)})
    a, b = torch.rand(2, 4, 8, 8), torch.rand(2, 6, 8, 8)
    loss = method(student, [Outputs(None, {hint_a: a}), Outputs(None, {hint_b: b})], BATCH)
    each = [
        hint_loss(regressor(student.features[guided]), hint)
        for regressor, hint in zip(method.regressors, (a, b), strict=True)
    ]
    torch.testing.assert_close(loss["fitnet"], 0.75 * each[0] + 0.25 * each[1])


def test_what_is_not_a_map_is_refused_with_both_taps_and_shapes() -> None:
    knobs = FitnetKnobs(guided=Tap(module="bn1"), hint=Tap(module="head"))
    with pytest.raises(RunError) as caught:
        Fitnet(knobs, MethodContext(probe(Traps()), (probe(Traps(), "t"),), (1.0,)))
    assert (caught.value.code, caught.value.pointer) == ("not_a_map", "/hint")
    for named in ("'bn1' (4x8x8) of the student", "'head' (3x1x1) of t"):
        assert named in caught.value.message


@pytest.mark.parametrize("side", ["guided", "hint"])
def test_a_wrong_tap_points_at_its_knob(side: str) -> None:
    knobs = FitnetKnobs.model_validate({side: {"module": "layer9"}})
    with pytest.raises(RunError) as caught:
        Fitnet(knobs, MethodContext(probe(Traps()), (probe(Traps(), "t"),), (1.0,)))
    assert (caught.value.code, caught.value.pointer) == ("tap_not_found", f"/{side}")
