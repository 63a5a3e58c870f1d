"""What all knobs share: taps, the weight along a stage, and the needs of a method."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from kdcore.spec.base import SpecModel

TapPosition = Literal["before_relu", "before", "after"]


class Tap(SpecModel):
    """A named place in a network whose activation a method reads."""

    module: str = Field(min_length=1, description="Dotted module path, as in named_modules().")
    position: TapPosition = Field(
        "after",
        description="`after`: the module's output. `before_relu`: the input of this module, which "
        "must be an activation, read before it acts (in place or not). `before`: the input of any "
        "module.",
    )
    call: int = Field(
        0,
        ge=0,
        description="Which call within one forward pass, for a module that is used several times.",
    )


class Knobs(SpecModel):
    """What every objective has: a method and a weight, constant or along the stage; and what its
    method needs, which `kdcore.spec.fit` checks."""

    needs_teacher: ClassVar[bool] = True
    needs_one_teacher: ClassVar[bool] = False
    """Whether it works with exactly one."""
    needs_labels: ClassVar[bool] = False
    needs_one_label: ClassVar[bool] = False
    """Whether an image must have one label, or be one sample: no mixup, no cutmix."""
    needs_same_classes: ClassVar[bool] = False
    """Whether teachers must have the student's classes."""
    needs_same_channels: ClassVar[bool] = False
    """Whether the levels it reads must have equal channels in both networks."""
    least_classes: ClassVar[int] = 2
    least_batch: ClassVar[int] = 1
    """Samples that a batch must have: relations need other samples, as do batch norms."""

    @classmethod
    def needs(cls) -> list[str]:
        """What the method needs, for people."""
        found = {
            "exactly one teacher" if cls.needs_one_teacher else "a teacher": cls.needs_teacher,
            "labels": cls.needs_labels,
            "one label per image": cls.needs_one_label,
            "the same classes": cls.needs_same_classes,
            "the same channels": cls.needs_same_channels,
            f"at least {cls.least_classes} classes": cls.least_classes > 2,
            f"batches of at least {cls.least_batch}": cls.least_batch > 1,
        }
        return [words for words, needed in found.items() if needed]

    method: str
    weight: float = Field(1.0, ge=0, description="Weight of this loss term.")
    weight_end: float | None = Field(
        None,
        ge=0,
        description="Weight at the stage's end, reached linearly. Default: constant.",
    )
    warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs over which the weight rises linearly from 0."
    )


class MapKnobs(Knobs):
    """The knobs of every method that compares maps of both networks, level by level."""

    levels: int = Field(
        4,
        ge=1,
        le=16,
        description="Largest number of levels without taps, counted from the deepest; a level is "
        "the last activation of one resolution.",
    )
    student_taps: tuple[Tap, ...] | None = Field(
        None,
        min_length=1,
        description="Places in the student, shallow to deep. Default: its levels.",
    )
    teacher_taps: tuple[Tap, ...] | None = Field(
        None,
        min_length=1,
        description="Places in each teacher, one for each of the student's. Default: its levels.",
    )

    @model_validator(mode="after")
    def _as_many(self) -> "MapKnobs":
        given = (self.student_taps, self.teacher_taps)
        if given[0] is not None and given[1] is not None and len(given[0]) != len(given[1]):
            raise ValueError(f"{len(given[0])} student_taps, but {len(given[1])} teacher_taps")
        return self
