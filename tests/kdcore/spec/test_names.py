"""Curves, phases and arms have one name each, and a label for people."""

from typing import get_args

from kdcore.spec.names import LABELS, TEACHER_ACCURACY, ArmName, Metric, Phase


def test_a_curve_is_named_by_network_and_metric() -> None:
    assert Metric.LOSS.of("student") == "student/loss"
    assert TEACHER_ACCURACY == "teacher/accuracy"


def test_phases_and_networks_have_labels() -> None:
    assert (f"{Phase.TRAINING}", Phase.TRAINING.label) == ("training", "training the student")
    assert all(phase.label for phase in Phase)
    assert set(LABELS) == {"teacher", *get_args(ArmName)}
