"""Names of a run's phases, arms and metrics, and the labels that people read for them."""

from enum import StrEnum
from typing import Literal

ArmName = Literal["student", "baseline"]
"""The trainings of a run: the student's own, and the same student's from scratch."""

Network = ArmName | Literal["teacher"]
"""What is measured; of several teachers, their ensemble."""

LABELS: dict[Network, str] = {
    "teacher": "teacher",
    "student": "student",
    "baseline": "from scratch",
}


class Phase(StrEnum):
    """What a run is doing; `label` is for people."""

    label: str

    def __new__(cls, name: str, label: str) -> "Phase":
        """A member that is the phase's name."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.label = label
        return member

    PREPARING = "preparing", "preparing"
    VALIDATING = "validating", "checking the upload"
    TEACHER = "teacher", "evaluating the teacher"
    TRAINING = "training", "training the student"
    BASELINE = "baseline", "training from scratch"
    EVALUATING = "evaluating", "evaluating on held-out images"
    EXPORTING = "exporting", "exporting"
    SAVING = "saving", "saving the results"


class Metric(StrEnum):
    """What is measured of a network; with the network's name it is a curve's name."""

    LOSS = "loss"
    LEARNING_RATE = "learning_rate"
    ACCURACY = "accuracy"
    VALIDATION_LOSS = "validation_loss"
    AGREEMENT = "agreement"

    def of(self, network: Network) -> str:
        """The curve's name: `student/accuracy`."""
        return f"{network}/{self}"


STUDENT_LOSS = Metric.LOSS.of("student")
STUDENT_ACCURACY = Metric.ACCURACY.of("student")
BASELINE_ACCURACY = Metric.ACCURACY.of("baseline")
TEACHER_ACCURACY = Metric.ACCURACY.of("teacher")
