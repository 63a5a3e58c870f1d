"""A job written in flags becomes a spec that the wire's own model accepts."""

import pytest

from distillery.cli.specs import Flags, build, scalars
from distillery.sdk.errors import UsageMistake
from distillery.wire.jobs import JobCreate


def test_flags_become_a_valid_spec() -> None:
    spec = build(
        Flags(
            teachers=["mdl_a:2.5", "mdl_b"],
            student="resnet8",
            options=["width=0.25"],
            dataset="ds_a",
            methods=["kd:temperature=2,weight=0.9", "hard_target:weight=0.1"],
            epochs=3,
            learning_rate=0.1,
            augment="none",
            views=4,
            baseline=False,
        )
    )
    job = JobCreate.model_validate(spec)
    assert [teacher.weight for teacher in job.teachers] == [2.5, 1.0]
    assert job.student.options == {"width": 0.25}
    assert job.teacher_cache.views == 4
    assert job.methods() == ("kd", "hard_target")
    assert job.stages[0].objectives[0].weight == 0.9
    assert (job.stages[0].epochs, job.data.augment, job.baseline) == (3, (), False)


def test_without_a_method_the_teacher_decides() -> None:
    alone = JobCreate.model_validate(build(Flags(student="resnet8", dataset="ds_a")))
    assert alone.methods() == ("hard_target",)
    taught = build(Flags(student="resnet8", dataset="ds_a", teachers=["mdl_a"]))
    assert JobCreate.model_validate(taught).methods() == ("kd", "hard_target")


def test_what_is_not_said_is_left_to_the_service() -> None:
    spec = build(Flags(student="resnet8", dataset="ds_a"))
    assert not {"seed", "baseline", "precision"} & set(spec)
    assert spec["data"] == {}


def test_too_few_flags_are_a_usage_mistake() -> None:
    with pytest.raises(UsageMistake, match="Nothing to submit"):
        build(Flags(student="resnet8"))


def test_values_take_the_type_they_look_like() -> None:
    assert scalars(["a=1", "b=0.5", "c=True", "d=x=y"], "--option") == {
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": "x=y",
    }
    with pytest.raises(UsageMistake, match="NAME=VALUE"):
        scalars(["width"], "--option")
