"""What a user asks for, in one shape: with ids for the service, with paths for `kd run`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator

from kdcore.spec.base import SpecModel
from kdcore.spec.recipe import Recipe, teachers_where_needed
from kdcore.spec.run import (
    DistillRun,
    Network,
    RunDataset,
    RunStudent,
    RunTeacher,
    StudentOptions,
    TeacherOptions,
)

MAX_TEACHERS = 64
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]


class JobTeacher(TeacherOptions):
    """A registered model as teacher."""

    model: str = Field(pattern=r"^mdl_", description="A model's id.")


class JobStudent(StudentOptions):
    """The network to train; its class count and input follow the dataset."""

    initial_model: str | None = Field(
        None, pattern=r"^mdl_", description="Id of a model whose weights the student starts from."
    )


class JobSpec(Recipe):
    """A complete distillation; with `hard_target` as the only objective and without teachers it is
    plain training."""

    teachers: tuple[JobTeacher, ...] = Field((), max_length=MAX_TEACHERS, validate_default=True)
    student: JobStudent
    dataset: str = Field(pattern=r"^ds_", description="A dataset's id.")

    _needed = field_validator("teachers")(teachers_where_needed)


class ModelFile(SpecModel):
    """A safetensors file, and the network whose weights it holds."""

    path: FilePath
    network: Network


class FileTeacher(TeacherOptions):
    """A file as teacher. Given as a path alone, its network is in `NAME.config.json` or
    `config.json` beside it, as exports write them."""

    model: FilePath | ModelFile


class FileStudent(StudentOptions):
    """The network to train; its class count and input follow the dataset."""

    initial_model: FilePath | None = None


class FileSpec(Recipe):
    """A job's spec with paths in place of ids, relative to the spec's own folder."""

    name: str | None = Field(None, max_length=200)
    teachers: tuple[FileTeacher, ...] = Field((), max_length=MAX_TEACHERS, validate_default=True)
    student: FileStudent
    dataset: FilePath

    _needed = field_validator("teachers")(teachers_where_needed)


@dataclass(frozen=True)
class PlacedModel:
    """A teacher's weights where a run finds them."""

    name: str
    network: Network
    weights: str
    sha256: str | None = None


def distill_run(
    spec: JobSpec | FileSpec,
    models: Sequence[PlacedModel],
    initial_weights: str | None,
    dataset: RunDataset,
    *,
    device: str,
    threads: int | None,
) -> DistillRun:
    """What the run reads; `models`: one for each of the spec's teachers, in order."""
    teachers = (
        RunTeacher(
            name=model.name,
            network=model.network,
            weights=model.weights,
            sha256=model.sha256,
            weight=teacher.weight,
            batch_norm=teacher.batch_norm,
        )
        for teacher, model in zip(spec.teachers, models, strict=True)
    )
    student = spec.student
    return DistillRun(
        **{name: getattr(spec, name) for name in Recipe.model_fields},
        teachers=tuple(teachers),
        student=RunStudent(
            architecture=student.architecture,
            options=student.options,
            initial_weights=initial_weights,
        ),
        dataset=dataset,
        device=device,
        threads=threads,
    )


def pointer_in_spec(pointer: str | None) -> str | None:
    """A pointer into a run's spec as one into the spec that `distill_run` made it from; None where
    that has no such place."""
    if pointer is None or pointer in ("/device", "/threads"):
        return None
    if pointer.startswith("/dataset"):
        return "/dataset"
    pointer = re.sub(r"^/student/initial_weights", "/student/initial_model", pointer)
    return re.sub(r"^(/teachers/\d+)(/.*)?$", r"\1/model", pointer)


def pointer_in_request(task: str, pointer: str | None) -> str | None:
    """The same for any task: what an inspection finds wrong with the file is in its `upload`."""
    if task == "distill":
        return pointer_in_spec(pointer)
    return "/upload" if pointer in ("/weights", "/dataset") else pointer
