"""Everything that does not fit is an error before any training, with code and pointer."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdcore.networks.weights import save_weights
from kdcore.networks.zoo import build_network
from kdcore.runs.prepare import prepare
from kdcore.runtime.errors import RunError
from kdcore.runtime.specfile import read_spec
from kdcore.spec.run import DistillRun
from tests.kdcore.tiny import (
    FITNET,
    HARD,
    KD,
    SIDE,
    TEACHER,
    make_folder,
    make_spec,
    parse,
    stage,
    write_digits,
)


def _teacher(**changes: Any) -> dict[str, Any]:
    network = {**TEACHER.model_dump(mode="json"), **changes}
    return {"teachers": [{"network": network, "weights": "teacher.safetensors"}]}


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"student": {"architecture": "resnet9"}}, "unknown_architecture", "/student/architecture"),
        (_teacher(architecture="resnet20"), "weights_mismatch", "/teachers/0/weights"),
        (
            {"stages": [stage(HARD), stage(HARD, {**FITNET, "guided": {"module": "stage9"}})]},
            "tap_not_found",
            "/stages/1/objectives/1/guided",
        ),
        (
            {"stages": [stage({**FITNET, "hint": {"module": "head"}})]},
            "not_a_map",
            "/stages/0/objectives/0/hint",
        ),
        ({"dataset": {"path": "nowhere.npz", "format": "npz"}}, None, "/dataset"),
        ({"precision": "fp16"}, "precision_not_supported", "/precision"),
        (
            {"student": {"architecture": "resnet8", "initial_weights": "teacher.safetensors"}},
            "weights_mismatch",
            "/student/initial_weights",
        ),
        (
            {"student": {"architecture": "resnet9", "initial_weights": "teacher.safetensors"}},
            "unknown_architecture",
            "/student/architecture",
        ),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, changes: dict[str, Any], code: str | None, pointer: str
) -> None:
    make_folder(tmp_path)
    with pytest.raises(RunError) as caught:
        prepare(parse(make_spec(**changes)), tmp_path)
    assert caught.value.pointer == pointer and code in (None, caught.value.code)


def test_labels_are_needed_for_hard_target_alone(tmp_path: Path) -> None:
    write_digits(tmp_path / "data.npz", labels=False)
    make_folder(tmp_path)
    with pytest.raises(RunError) as caught:
        prepare(parse(make_spec()), tmp_path)
    assert caught.value.code == "dataset_without_labels"
    assert caught.value.pointer == "/stages/0/objectives/0"
    prepared = prepare(parse(make_spec(stages=[stage(KD)])), tmp_path)
    assert len(prepared.setup.arms) == 1 and prepared.warnings
    assert prepared.student.network.num_classes == TEACHER.num_classes


def test_a_teacher_of_other_classes_cannot_teach_kd(tmp_path: Path) -> None:
    make_folder(tmp_path)
    write_digits(tmp_path / "data.npz")
    spec = parse(make_spec())
    wide = spec.teachers[0].network.model_copy(update={"num_classes": 7})
    save_weights(build_network(wide), tmp_path / "wide.safetensors")
    teacher = spec.teachers[0].model_copy(
        update={"network": wide, "weights": "wide.safetensors", "name": "wide"}
    )
    with pytest.raises(RunError, match="wide has 7 classes") as caught:
        prepare(spec.model_copy(update={"teachers": (teacher,)}), tmp_path)
    assert caught.value.code == "class_count_mismatch"
    hints = parse(make_spec(stages=[stage(FITNET), stage(HARD)]))
    prepare(hints.model_copy(update={"teachers": (teacher,)}), tmp_path)


def test_the_student_follows_the_data_and_starts_the_same_every_time(tmp_path: Path) -> None:
    make_folder(tmp_path)
    spec = read_spec(tmp_path)
    assert isinstance(spec, DistillRun)
    prepared = prepare(spec, tmp_path)
    input = prepared.student.network.input
    assert (input.channels, input.height, input.width) == (1, SIDE, SIDE)
    assert 0.2 < input.mean[0] < 0.5 and 0.1 < input.std[0] < 0.4
    first, torch_draw, second = (
        prepared.student("student"),
        torch.rand(1),
        prepared.student("student"),
    )
    assert torch_draw is not None
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    other = prepare(spec.model_copy(update={"seed": 1}), tmp_path).student("student")
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


@pytest.mark.parametrize(
    ("test", "validation", "split"),
    [(24, 0.25, "test"), (0, 0.25, "validation"), (0, 0, "none")],
)
def test_the_result_is_measured_on_the_best_split_there_is(
    tmp_path: Path, test: int, validation: float, split: str
) -> None:
    make_folder(tmp_path)
    if not test:
        with np.load(tmp_path / "data.npz") as arrays:
            kept = {k: arrays[k] for k in ("x_train", "y_train")}
        np.savez(tmp_path / "data.npz", **kept)
    spec = make_spec(data={"batch_size": 8, "validation": validation})
    prepared = prepare(parse(spec), tmp_path)
    assert prepared.split == split
    assert (prepared.setup.validation_set is None) == (validation == 0)
    assert (prepared.eval_set is None) == (split == "none")


def test_teachers_are_frozen_and_in_evaluation_mode(tmp_path: Path) -> None:
    (teacher,) = prepare(parse(make_spec()), make_folder(tmp_path)).setup.shared.teachers
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert not teacher.network.training and teacher.size_bytes > 1000


def test_a_dataset_is_decoded_once_for_all_runs_of_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_folder(tmp_path)
    first = prepare(parse(make_spec()), folder)
    assert [p.is_dir() for p in (folder / "packs").iterdir()] == [True]

    def never(*_: object) -> None:
        raise AssertionError("it was decoded again")

    monkeypatch.setattr("kdcore.data.source._read", never)
    second = prepare(parse(make_spec()), folder)
    assert second.student.network == first.student.network
    pairs = zip(first.setup.loader.batches(0, 0), second.setup.loader.batches(0, 0), strict=True)
    assert all(torch.equal(a.images_BCHW, b.images_BCHW) for a, b in pairs)


def test_packs_go_where_the_spec_says(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run")
    shared = str(tmp_path / "shared")
    dataset = {"path": "data.npz", "format": "npz", "sha256": "0" * 64, "packs": shared}
    prepare(parse(make_spec(dataset=dataset)), folder)
    (entry,) = (tmp_path / "shared").iterdir()
    assert entry.name.startswith("0" * 16) and not (folder / "packs").exists()


def test_networks_are_built_for_what_is_read_of_a_larger_image(tmp_path: Path) -> None:
    data = {"batch_size": 8, "augment": ["random_resized_crop"], "image_size": [12, 12]}
    prepared = prepare(parse(make_spec(data={**data, "resize_to": 14})), make_folder(tmp_path))
    image = prepared.student.network.input
    assert (image.height, image.width) == (12, 12)
    assert prepared.eval_set is not None
    for batch in (*prepared.eval_set.batches(), *prepared.setup.loader.batches(0, 0)):
        assert batch.images_BCHW.shape[2:] == (12, 12)
