"""The baseline has the student's budget and nothing of the teacher; or a reason for its absence."""

from kdcore.training.arms import plan_arms
from tests.kdcore.tiny import FITNET, HARD, KD, make_spec, parse, stage


def test_the_baseline_trains_all_epochs_on_labels_with_the_last_optimizer() -> None:
    last = stage(
        {**HARD, "label_smoothing": 0.1, "weight": 0.1},
        KD,
        epochs=4,
        optimizer={"name": "adamw", "learning_rate": 0.002},
        schedule={"name": "multistep"},
        ema={"decay": 0.5},
    )
    arms, warning = plan_arms(parse(make_spec(stages=[stage(FITNET, epochs=3), last])), True)
    student, baseline = arms
    assert warning is None and (student.name, baseline.name) == ("student", "baseline")
    assert student.epochs == baseline.epochs == 7 and student.epochs_before(1) == 3
    (only,) = baseline.stages
    assert only.optimizer == student.stages[1].optimizer
    assert only.schedule == student.stages[1].schedule
    assert only.ema == student.stages[1].ema and only.ema is not None
    (knobs,) = only.objectives
    assert knobs.model_dump() == {
        "method": "hard_target", "weight": 1.0, "weight_end": None, "warmup_epochs": 0.0,
            "label_smoothing": 0.1,
    }  # fmt: skip


def test_without_labels_or_teacher_there_is_no_baseline_and_a_reason() -> None:
    arms, warning = plan_arms(parse(make_spec(stages=[stage(KD)])), labelled=False)
    assert [arm.name for arm in arms] == ["student"] and warning and "labels" in warning
    arms, warning = plan_arms(parse(make_spec(teachers=[], stages=[stage(HARD)])), labelled=True)
    assert len(arms) == 1 and warning and "teacher" in warning


def test_a_baseline_that_is_not_wanted_gives_no_warning() -> None:
    arms, warning = plan_arms(parse(make_spec(baseline=False)), labelled=True)
    assert len(arms) == 1 and warning is None
