"""The arms of a run: the student's stages, then the same student from scratch as its baseline."""

from dataclasses import dataclass

from kdcore.spec.knobs.logits import HardTargetKnobs
from kdcore.spec.names import ArmName
from kdcore.spec.recipe import Stage
from kdcore.spec.run import DistillRun


@dataclass(frozen=True)
class Arm:
    """One training of the student through its stages."""

    name: ArmName
    stages: tuple[Stage, ...]

    @property
    def epochs(self) -> int:
        """Number of epochs of all its stages."""
        return sum(stage.epochs for stage in self.stages)

    def epochs_before(self, stage: int) -> int:
        """Number of epochs of the stages before this one."""
        return sum(s.epochs for s in self.stages[:stage])


def plan_arms(spec: DistillRun, labelled: bool) -> tuple[tuple[Arm, ...], str | None]:
    """The arms of a run; and why a baseline that the spec asks for is left out."""
    student = Arm("student", spec.stages)
    if not spec.baseline:
        return (student,), None
    if not spec.needs_teacher():
        return (
            student,
        ), "no baseline: without a teacher the student itself is trained from scratch"
    if not labelled:
        return (student,), "no baseline: training from scratch needs labels"
    return (student, Arm("baseline", (_from_scratch(spec.stages),))), None


def _from_scratch(stages: tuple[Stage, ...]) -> Stage:
    """One stage of as many epochs on the labels alone, with the last stage's optimizer, schedule,
    average and label smoothing."""
    last = stages[-1]
    asked = [o for o in last.objectives if isinstance(o, HardTargetKnobs)]
    knobs = HardTargetKnobs(label_smoothing=asked[0].label_smoothing if asked else 0.0)
    epochs = sum(stage.epochs for stage in stages)
    # `model_copy` does not validate: the sum may exceed the limit for one stage.
    return last.model_copy(update={"epochs": epochs, "objectives": (knobs,)})
