"""One spec: with ids for the service, with paths for `kd run`, and one run made from either."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from distillery.wire.jobs import JobCreate
from distillery.wire.jobspec import (
    FileSpec,
    JobSpec,
    ModelFile,
    PlacedModel,
    distill_run,
    pointer_in_request,
    pointer_in_spec,
)
from kdcore.spec.recipe import Recipe
from kdcore.spec.run import Network, RunDataset

BODY: dict[str, Any] = {
    "teachers": [{"model": "mdl_a", "weight": 2.0, "batch_norm": "train"}],
    "student": {"architecture": "resnet8", "options": {"width": 0.5}, "initial_model": "mdl_b"},
    "dataset": "ds_c",
    "stages": [{"epochs": 2, "objectives": [{"method": "kd"}]}],
    "seed": 3,
}
NETWORK = Network(architecture="resnet20", num_classes=10)


def _fields(kind: type[BaseModel]) -> dict[str, Any]:
    return {name: set(_inner(field.annotation)) for name, field in kind.model_fields.items()}


def _inner(annotation: Any) -> dict[str, Any]:
    for kind in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return dict(kind.model_fields)
    return {}


def test_both_forms_have_the_same_fields() -> None:
    assert _fields(JobCreate) == _fields(FileSpec)


def test_a_spec_with_ids_is_one_with_paths() -> None:
    """What is an id for the service is a path for `kd run`: the file need not be changed."""
    assert FileSpec.model_validate(BODY).methods() == JobSpec.model_validate(BODY).methods()
    with pytest.raises(ValidationError):
        JobSpec.model_validate(BODY | {"dataset": "digits.npz"})


def test_a_file_may_come_with_its_network() -> None:
    model = {"path": "t.safetensors", "network": NETWORK.model_dump()}
    spec = FileSpec.model_validate(BODY | {"teachers": [{"model": model}]})
    assert spec.teachers[0].model == ModelFile(path="t.safetensors", network=NETWORK)


@pytest.mark.parametrize("kind", [JobSpec, FileSpec])
def test_the_run_has_all_that_the_spec_says(kind: type[JobSpec] | type[FileSpec]) -> None:
    spec = kind.model_validate(BODY)
    models = [PlacedModel("big", NETWORK, "inputs/t.safetensors")]
    dataset = RunDataset(path="inputs/d.npz", format="npz")
    run = distill_run(spec, models, "inputs/s.safetensors", dataset, device="cpu", threads=2)
    assert {name: getattr(run, name) for name in Recipe.model_fields} == {
        name: getattr(spec, name) for name in Recipe.model_fields
    }
    (teacher,) = run.teachers
    assert (teacher.name, teacher.weights) == ("big", "inputs/t.safetensors")
    assert (teacher.weight, teacher.batch_norm, teacher.network) == (2.0, "train", NETWORK)
    assert (run.student.options, run.student.initial_weights) == (
        {"width": 0.5},
        "inputs/s.safetensors",
    )
    assert (run.device, run.threads, run.dataset) == ("cpu", 2, dataset)


@pytest.mark.parametrize(
    ("in_run", "in_spec"),
    [
        ("/teachers/1/weights", "/teachers/1/model"),
        ("/teachers/10/options/width", "/teachers/10/model"),
        ("/teachers/0", "/teachers/0/model"),
        ("/teachers", "/teachers"),
        ("/student/initial_weights", "/student/initial_model"),
        ("/student/architecture", "/student/architecture"),
        ("/dataset", "/dataset"),
        ("/dataset/path", "/dataset"),
        ("/stages/0/objectives/1/hint", "/stages/0/objectives/1/hint"),
        ("/device", None),
        (None, None),
    ],
)
def test_a_pointer_into_the_run_becomes_one_into_the_spec(
    in_run: str | None, in_spec: str | None
) -> None:
    assert pointer_in_spec(in_run) == in_spec == pointer_in_request("distill", in_run)


def test_what_is_wrong_with_an_inspected_file_is_in_its_upload() -> None:
    assert pointer_in_request("inspect_model", "/weights") == "/upload"
    assert pointer_in_request("inspect_dataset", "/dataset") == "/upload"
    assert pointer_in_request("inspect_model", "/options/width") == "/options/width"
