"""Every recipe is a spec that the service takes once names are ids, and its networks fit it."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from distillery.wire.jobspec import JobSpec
from kdcore.features.probe import Probe
from kdcore.networks.zoo import build_network
from kdcore.objectives.base import MethodContext
from kdcore.objectives.objectives import Objectives
from kdcore.spec.recipe import Multistep, Sgd
from kdcore.spec.run import Network
from tests.contracts.trees import ROOT

RECIPES = ROOT / "recipes"
FILES = sorted(RECIPES.glob("*/*.json"))
IDS = [path.relative_to(RECIPES).as_posix() for path in FILES]
EPOCHS = {"cifar100": 240, "imagenet": 100}
DROPS = {"cifar100": [150, 180, 210], "imagenet": [30, 60, 90]}
CLASSES = {"cifar100": 100, "imagenet": 1000}
SIDE = {"cifar100": 32, "imagenet": 224}
LIBRARY = {"cifar100": "", "imagenet": "torchvision/"}

every_recipe = pytest.mark.parametrize("path", FILES, ids=IDS)


def _raw(path: Path) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return raw


def _spec(path: Path) -> JobSpec:
    """With ids for names, as `kd jobs submit` sends it."""
    raw = _raw(path)
    teachers = [{**teacher, "model": "mdl_x"} for teacher in raw.get("teachers", [])]
    return JobSpec.model_validate({**raw, "teachers": teachers, "dataset": "ds_x"})


def _architectures(path: Path) -> tuple[str, str | None]:
    """The student's, and the teacher's by its name, DATASET-ARCHITECTURE."""
    raw, data = _raw(path), path.parent.name
    library = LIBRARY[data]
    models = [str(teacher["model"]) for teacher in raw.get("teachers", [])]
    assert all(model.startswith(f"{data}-") for model in models)
    teacher = f"{library}{models[0].removeprefix(f'{data}-')}" if models else None
    return str(raw["student"]["architecture"]), teacher


def _context(path: Path) -> str:
    student, teacher = (name and name.rpartition("/")[2] for name in _architectures(path))
    return path.stem.removesuffix(f"_{student}").removesuffix(f"_{teacher}")


@cache
def _probe(architecture: str, data: str) -> Probe:
    torch.manual_seed(0)
    network = build_network(Network(architecture=architecture, num_classes=CLASSES[data]))
    return Probe(architecture, network, CLASSES[data], torch.zeros(1, 3, SIDE[data], SIDE[data]))


def test_there_are_recipes_of_both_datasets() -> None:
    assert {path.parent.name for path in FILES} == set(EPOCHS)


@every_recipe
def test_its_name_says_setting_teacher_and_student(path: Path) -> None:
    student, teacher = (name and name.rpartition("/")[2] for name in _architectures(path))
    context, methods = _context(path), set(_spec(path).methods())
    if teacher is None:
        assert path.stem == f"teacher_{student}" and methods == {"hard_target"}
        return
    assert path.stem == f"{context}_{teacher}_{student}"
    assert context.removesuffix("_two_stage").removesuffix("_joint") in methods
    assert context.endswith("_two_stage") is (len(_spec(path).stages) == 2)


@every_recipe
def test_it_has_the_epochs_and_the_schedule_of_the_literature(path: Path) -> None:
    spec, data = _spec(path), path.parent.name
    *before, last = spec.stages
    assert last.epochs == EPOCHS[data]
    assert isinstance(last.schedule, Multistep)
    drops = [milestone * last.epochs for milestone in last.schedule.milestones]
    assert drops == pytest.approx(DROPS[data]) and last.schedule.gamma == 0.1
    assert all(stage.epochs == 30 for stage in before)
    assert spec.dataset == "ds_x" and _raw(path)["dataset"] == data


@every_recipe
def test_it_has_the_optimizer_and_the_data_of_the_literature(path: Path) -> None:
    spec, cifar = _spec(path), path.parent.name == "cifar100"
    rate = 0.1
    if cifar:
        rate = 0.01 if spec.student.architecture.startswith("shufflenet") else 0.05
    decay = 5e-4 if cifar else 1e-4
    assert spec.stages[-1].optimizer == Sgd(learning_rate=rate, momentum=0.9, weight_decay=decay)
    assert spec.data.batch_size == (64 if cifar else 256)
    assert spec.data.image_size == (None if cifar else (224, 224))
    assert spec.data.resize_to == (None if cifar else 256)
    crop = "crop" if cifar else "random_resized_crop"
    assert (spec.data.augment, spec.data.validation) == ((crop, "flip"), 0)
    assert spec.precision == "fp32"


@every_recipe
def test_its_methods_fit_its_networks(path: Path) -> None:
    spec, data = _spec(path), path.parent.name
    student, teacher = _architectures(path)
    context = MethodContext(
        student=_probe(student, data),
        teachers=(_probe(teacher, data),) if teacher else (),
        weights=(1.0,) if teacher else (),
        batch_size=spec.data.batch_size,
        training_N=torch.arange(256),
        labels_N=torch.arange(256) % 10,
    )
    for index, stage in enumerate(spec.stages):
        assert len(Objectives(stage, context, f"/stages/{index}").methods) == len(stage.objectives)


def test_every_setting_is_in_the_readme() -> None:
    page = (RECIPES / "README.md").read_text(encoding="utf-8")
    assert sorted({_context(path) for path in FILES if f"`{_context(path)}`" not in page}) == []
