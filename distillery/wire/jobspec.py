"""JobSpec: what a user asks for, in ids. The worker turns it into a RunSpec, in paths."""

from typing import Literal

from pydantic import Field, field_validator

from kdcore.spec.base import SpecModel
from kdcore.spec.recipe import Recipe, Scalar, teachers_where_needed


class JobTeacher(SpecModel):
    """A registered model as teacher."""

    model: str = Field(pattern=r"^mdl_", description="A model's id.")
    weight: float = Field(1.0, gt=0, description="Relative weight in the ensemble.")
    batch_norm: Literal["eval", "train"] = Field(
        "eval", description="Mode of the teacher's batch norms; a method may require another."
    )


class JobStudent(SpecModel):
    """The network to train; its class count and input follow the dataset."""

    architecture: str = Field(
        min_length=1,
        max_length=200,
        description="A name of ours (`resnet8x4`), `torchvision/NAME` or `timm/NAME`.",
    )
    options: dict[str, Scalar] = Field({}, description="Further arguments of the architecture.")
    initial_model: str | None = Field(
        None, pattern=r"^mdl_", description="Start from this model's weights."
    )


class JobSpec(Recipe):
    """A complete distillation request; without teachers and with `hard_target` alone it is plain
    training."""

    teachers: tuple[JobTeacher, ...] = Field((), max_length=64, validate_default=True)
    student: JobStudent
    dataset: str = Field(pattern=r"^ds_", description="A dataset's id.")

    _needed = field_validator("teachers")(teachers_where_needed)
