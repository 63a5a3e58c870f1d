"""A stage's loss: weights along the stage, names, and what it reads of the networks."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from kdcore.data.batches import Batch
from kdcore.features.taps import Outputs
from kdcore.objectives.base import METHODS, MethodContext
from kdcore.objectives.objectives import Objectives, weight_at
from kdcore.runtime.errors import RunError
from kdcore.spec.knobs.base import Knobs
from kdcore.spec.knobs.logits import KdKnobs
from kdcore.spec.methods import KNOBS
from tests.kdcore.tiny import FITNET, HARD, KD, Traps, make_spec, parse, probe, stage

BATCH = Batch(torch.arange(2), torch.zeros(2, 1, 8, 8), torch.tensor([0, 2]))


def _objectives(*objectives: Mapping[str, Any]) -> Objectives:
    context = MethodContext(probe(Traps()), (probe(Traps(), "t"),), (1.0,))
    return Objectives(parse(make_spec(stages=[stage(*objectives)])).stages[0], context, "/stages/0")


def test_every_knob_class_has_its_method() -> None:
    assert set(METHODS) == set(KNOBS.values())


def test_weight_is_constant_or_linear_over_the_stage() -> None:
    assert weight_at(Knobs(method="x", weight=2.0), 0.7, 5) == 2.0
    falling = Knobs(method="x", weight=4.0, weight_end=1.0)
    assert [weight_at(falling, p, 5) for p in (0.0, 0.5, 1.0)] == [4.0, 2.5, 1.0]


def test_weight_warms_up_over_epochs_from_zero() -> None:
    rising = Knobs(method="x", weight=3.0, warmup_epochs=2.0)
    assert [weight_at(rising, p, 8) for p in (0.0, 0.125, 0.25, 1.0)] == [0.0, 1.5, 3.0, 3.0]


def test_the_total_is_the_weighted_sum_and_the_terms_are_not_weighted() -> None:
    objectives = _objectives({**HARD, "weight": 0.5}, {**KD, "weight": 4.0, "weight_end": 1.0}, KD)
    student, teacher = Outputs(torch.randn(2, 3)), Outputs(torch.randn(2, 3))
    loss = objectives(student, [teacher], BATCH, 1.0)
    assert set(loss.terms) == {"hard_target", "kd", "kd_2"}
    expected = 0.5 * loss.terms["hard_target"] + loss.terms["kd"] + loss.terms["kd_2"]
    torch.testing.assert_close(loss.total, expected)


@pytest.mark.parametrize(
    ("objectives", "student_logits", "teacher_logits", "taps"),
    [
        ([HARD], True, False, 0),
        ([HARD, KD], True, True, 0),
        ([FITNET], False, False, 1),
        ([HARD, FITNET], True, False, 1),
    ],
)
def test_what_is_read_follows_from_the_objectives(
    objectives: list[Mapping[str, Any]], student_logits: bool, teacher_logits: bool, taps: int
) -> None:
    built = _objectives(*objectives)
    assert (built.student_logits, built.teacher_logits) == (student_logits, teacher_logits)
    assert len(built.student_taps) == len(built.teacher_taps[0]) == taps


def test_an_error_points_at_the_objective_and_its_knob() -> None:
    with pytest.raises(RunError) as caught:
        _objectives(HARD, {**FITNET, "guided": {"module": "relu7"}})
    assert caught.value.pointer == "/stages/0/objectives/1/guided"


def test_batch_norm_mode_is_what_a_method_demands(monkeypatch: pytest.MonkeyPatch) -> None:
    objectives = _objectives(KD)
    assert objectives.batch_norm("eval") == "eval" and objectives.batch_norm("train") == "train"
    monkeypatch.setattr(METHODS[KdKnobs], "teacher_batch_norm", "train")
    assert objectives.batch_norm("eval") == "train"
