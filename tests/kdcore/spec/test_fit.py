"""What does not fit is found from plain facts, with one code, one message and one pointer."""

from typing import Any

import pytest

from kdcore.spec import fit
from kdcore.spec.knobs.base import Knobs
from kdcore.spec.methods import KNOBS

FITS: dict[str, Any] = {
    "labelled": True,
    "num_classes": 10,
    "batch_size": 64,
    "teachers": [("big", 10)],
}


def knobs(method: str) -> Knobs:
    """With every default."""
    return KNOBS[method]()  # type: ignore[call-arg]


@pytest.mark.parametrize("method", KNOBS)
def test_every_method_works_with_labels_one_teacher_and_batches(method: str) -> None:
    assert fit.unmet_need(knobs(method), **FITS) is None


@pytest.mark.parametrize("method", KNOBS)
@pytest.mark.parametrize(
    ("lack", "declared", "code"),
    [
        ({"labelled": False}, "needs_labels", "dataset_without_labels"),
        ({"teachers": [("big", 11)]}, "needs_same_classes", "class_count_mismatch"),
        ({"teachers": [("big", 10), ("wide", 10)]}, "needs_one_teacher", "one_teacher"),
    ],
)
def test_what_a_method_declares_is_what_is_checked(
    method: str, lack: dict[str, Any], declared: str, code: str
) -> None:
    fault = fit.unmet_need(knobs(method), **{**FITS, **lack})
    assert (fault.code if fault else None) == (code if getattr(KNOBS[method], declared) else None)
    if fault is not None:
        assert fault.pointer == "" and method in fault.message


@pytest.mark.parametrize("method", KNOBS)
def test_the_least_that_a_method_declares_is_enough(method: str) -> None:
    kind = KNOBS[method]
    least = {**FITS, "batch_size": kind.least_batch, **_classes(kind.least_classes)}
    assert fit.unmet_need(knobs(method), **least) is None
    for fewer, code in (
        (_classes(kind.least_classes - 1), "too_few_classes"),
        ({"batch_size": kind.least_batch - 1}, "batch_too_small"),
    ):
        fault = fit.unmet_need(knobs(method), **{**least, **fewer})
        assert fault is not None and fault.code == code


def _classes(count: int) -> dict[str, Any]:
    return {"num_classes": count, "teachers": [("big", count)]}


def test_channels_are_compared_where_the_method_asks_for_it() -> None:
    assert fit.unequal_channels(knobs("fsp"), (16, 32), "big", (16, 32)) is None
    assert fit.unequal_channels(knobs("at"), (16, 32), "big", (64, 32)) is None
    fault = fit.unequal_channels(knobs("fsp"), (16, 32), "big", (64, 128))
    assert fault is not None and fault.code == "fsp_channels"
    assert "16, 32 and those of big have 64, 128" in fault.message


@pytest.mark.parametrize(
    ("images", "network", "fits"),
    [(3, 3, True), (1, 3, True), (3, 1, True), (4, 3, False), (1, 2, False)],
)
def test_grey_and_colour_are_read_as_each_other(images: int, network: int, fits: bool) -> None:
    assert (fit.unreadable_channels(images, network) is None) is fits


def test_padding_cannot_shrink() -> None:
    assert fit.impossible_padding((28, 28), (28, 32)) is None
    fault = fit.impossible_padding((28, 28), (32, 27))
    assert fault is not None and (fault.code, fault.pointer) == ("bad_pad", "/data/pad_to")


def test_a_module_that_is_not_there_is_named_with_its_like() -> None:
    assert fit.missing_module("big", "layer1", ["layer1", "layer2"]) is None
    fault = fit.missing_module("big", "layer9", ["layer1", "head"])
    assert fault is not None and "big has no module 'layer9'; did you mean layer1" in fault.message


def test_an_unknown_architecture_comes_with_its_like_or_with_all_of_ours() -> None:
    near = fit.unknown_architecture("resnet21", fit.closest("resnet21", ["resnet20", "vgg8"]))
    assert "did you mean resnet20" in near.message and near.pointer == "/architecture"
    assert "ours are resnet8, " in fit.unknown_architecture("x", []).message
