"""The augmentations of a spec: names or knobs, and what is refused."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from kdcore.spec.augment import KINDS, Cutout, RandomResizedCrop, mixes, with_knobs
from kdcore.spec.recipe import Data, Recipe


def test_the_default_is_what_it_always_was() -> None:
    assert Data().augment == ("crop", "flip")
    assert Data().model_dump(mode="json")["augment"] == ["crop", "flip"]


def test_a_name_is_the_same_as_its_knobs_defaults() -> None:
    for name, kind in KINDS.items():
        (bare,) = with_knobs(Data.model_validate({"augment": [name]}).augment).values()
        (full,) = with_knobs(Data.model_validate({"augment": [{"name": name}]}).augment).values()
        assert bare == full == kind()


def test_knobs_are_kept_and_come_back_from_json() -> None:
    data = Data.model_validate({"augment": ["flip", {"name": "cutout", "size": 0.25}]})
    assert data.augment == ("flip", Cutout(size=0.25))
    assert Data.model_validate_json(data.model_dump_json()) == data
    assert Data(augment=("flip", Cutout(size=0.25))) == data


def test_they_are_applied_in_one_order() -> None:
    names = [n for n in KINDS if n != "crop"]
    assert list(with_knobs(Data.model_validate({"augment": names[::-1]}).augment)) == names


def test_each_has_a_line_that_says_what_it_is_and_described_knobs() -> None:
    for kind in KINDS.values():
        assert kind.__doc__
        for name, field in kind.model_fields.items():
            assert name == "name" or field.description, (kind, name)


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({"augment": ["spin"]}, "literal_error", "'crop'"),
    ({"augment": [{"name": "spin"}]}, "unknown_augmentation", "rand_augment"),
    ({"augment": [{}]}, "unknown_augmentation", "none of crop"),
    ({"augment": [3]}, "literal_error", "'crop'"),
    ({"augment": [{"name": "cutout", "side": 3}]}, "extra_forbidden", "not permitted"),
    ({"augment": [{"name": "cutout", "size": 0}]}, "greater_than", "greater than 0"),
    ({"augment": [{"name": "rand_augment", "magnitude": 31}]}, "less_than_equal", "30"),
    ({"augment": ["flip", {"name": "flip"}]}, "value_error", "flip is given twice"),
    ({"augment": ["crop", "random_resized_crop"]}, "value_error", "choose one"),
    (
        {"augment": [{"name": "random_resized_crop", "scale": [0.5, 0.2]}]},
        "value_error",
        "scale runs from 0.5 down to 0.2",
    ),
    ({"resize_to": 256}, "value_error", "needs an image_size"),
    ({"resize_to": 31, "image_size": [32, 32]}, "value_error", "less than the 32 pixels"),
    ({"resize_to": 36, "image_size": [32, 32], "pad_to": [40, 40]}, "value_error", "choose one"),
]


@pytest.mark.parametrize(("data", "code", "words"), FAULTS)
def test_faults_are_named(data: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Data.model_validate(data)
    errors = caught.value.errors()
    assert [error["type"] for error in errors] == [code]
    assert words in errors[0]["msg"]


def recipe(augment: list[Any], *methods: str) -> dict[str, Any]:
    stages = [{"epochs": 1, "objectives": [{"method": m}]} for m in methods]
    return {"stages": stages, "data": {"augment": augment}}


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("method", ["dkd", "crd"])
def test_methods_of_one_label_are_refused_with_mixed_images(method: str, name: str) -> None:
    for item in (name, {"name": name}):
        with pytest.raises(ValidationError) as caught:
            Recipe.model_validate(recipe(["flip", item], "hard_target", method))
        (error,) = caught.value.errors()
        assert (error["type"], error["loc"]) == ("mixed_labels", ("data",))
        assert error["msg"].startswith(f"{method} ") and "hard_target, kd" in error["msg"]
    Recipe.model_validate(recipe(["flip", "cutout"], "hard_target", method))


@pytest.mark.parametrize("method", ["hard_target", "kd", "dist", "at", "reviewkd", "sp", "rkd"])
def test_other_methods_take_mixed_images(method: str) -> None:
    spec = Recipe.model_validate(recipe(["mixup", "cutmix"], method))
    assert mixes(spec.data.augment)
    assert not mixes(Data().augment)


def test_ratios_are_the_usual_ones() -> None:
    crop = RandomResizedCrop()
    assert crop.scale == (0.08, 1.0) and crop.ratio == pytest.approx((3 / 4, 4 / 3))
    assert json.loads(crop.model_dump_json())["name"] == "random_resized_crop"


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixed_images_have_no_views(name: str) -> None:
    spec = {**recipe([name], "kd"), "teacher_cache": {"views": 2}}
    with pytest.raises(ValidationError) as caught:
        Recipe.model_validate(spec)
    (error,) = caught.value.errors()
    assert (error["type"], error["loc"]) == ("mixing_with_views", ("teacher_cache",))
    Recipe.model_validate({**spec, "data": {"augment": ["crop"]}})
