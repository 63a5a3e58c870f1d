"""Every method's knobs, with defaults, ranges and descriptions; their union is an objective."""

from typing import Annotated, Literal

from pydantic import Field

from kdcore.spec.part import Part

Position = Literal["before_relu", "after"]


class Tap(Part):
    """A named place in a network whose activation a method reads."""

    module: str = Field(min_length=1, description="Dotted module path, as in named_modules().")
    position: Position = Field(
        "after",
        description="`after`: the module's output. `before_relu`: what enters this module, "
        "which must be an activation, taken before it acts (in place or not).",
    )
    call: int = Field(
        0, ge=0, description="Which call within one forward pass, for a module used several times."
    )


class Knobs(Part):
    """What every objective has: a method and a weight, constant or linear over the stage."""

    method: str
    weight: float = Field(1.0, ge=0, description="Weight of this loss term at the stage's start.")
    weight_end: float | None = Field(
        None,
        ge=0,
        description="Weight at the stage's end, reached linearly over its steps; none: constant.",
    )


class HardTargetKnobs(Knobs):
    """Cross-entropy on the labels, mean over the batch."""

    method: Literal["hard_target"] = "hard_target"
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Mass moved to the other classes.")


class KdKnobs(Knobs):
    """Soft-label distillation (Hinton, Vinyals & Dean 2015): T^2 KL(teacher || student)."""

    method: Literal["kd"] = "kd"
    temperature: float = Field(4.0, gt=0, le=1000, description="Softmax temperature T.")


class FitnetKnobs(Knobs):
    """FitNets hints (Romero et al. 2014): regress the teacher's hint from the guided layer."""

    method: Literal["fitnet"] = "fitnet"
    guided: Tap | None = Field(
        None, description="Student tap; none: the last activation of the middle resolution."
    )
    hint: Tap | None = Field(
        None, description="Teacher tap; none: the last activation of the middle resolution."
    )


Objective = Annotated[
    HardTargetKnobs | KdKnobs | FitnetKnobs,
    Field(discriminator="method"),
]

KNOBS: dict[str, type[Knobs]] = {
    "hard_target": HardTargetKnobs,
    "kd": KdKnobs,
    "fitnet": FitnetKnobs,
}

NEEDS_LABELS = frozenset({"hard_target"})
NEEDS_TEACHER = frozenset({"kd", "fitnet"})
NEEDS_SAME_CLASSES = frozenset({"kd"})
