"""A teacher runs once per image: cached outputs are read where they are valid, and only there."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.__main__ import main
from kdcore.networks.weights import save_weights
from kdcore.networks.zoo import build_network
from kdcore.spec.codes import Exit
from kdcore.spec.result import Score
from kdcore.spec.run import TEACHER_OUTPUTS_DIR
from kdcore.teacher_cache.output_cache import CachedScores
from kdcore.training.checkpoint import Checkpoints
from kdcore.training.trainer import Trainer
from tests.kdcore.tiny import (
    HARD,
    KD,
    TEACHER,
    events_of,
    make_folder,
    result_of,
    stage,
    weights_hash,
)

EPOCHS = 4
TRAINED = 32  # of 36 training images: batches of 8, the rest is dropped
VIEWS = {"teacher_cache": {"views": 2}, "baseline": False}
OFF = {"teacher_cache": {"views": 2, "enabled": False}, "baseline": False}


@pytest.fixture(autouse=True)
def _keep_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signal handlers belong to the process; keep pytest's."""
    monkeypatch.setattr("kdcore.runtime.signals.StopFlag.listen", lambda _self: None)


def _distil(folder: Path, **changes: Any) -> dict[str, Any]:
    changes = {"stages": [stage(HARD, KD, epochs=EPOCHS)], **changes}
    assert main(["run", str(make_folder(folder, **changes))]) == Exit.OK, events_of(folder)[-1]
    return result_of(folder)


def _share(source: Path, target: Path) -> None:
    """Copy the teacher outputs of one run to another that has not begun."""
    shutil.copytree(source / TEACHER_OUTPUTS_DIR, target / TEACHER_OUTPUTS_DIR)


def test_each_view_is_computed_once_and_the_student_is_the_same_to_the_bit(tmp_path: Path) -> None:
    kept = _distil(tmp_path / "kept", precision="bf16", **VIEWS)
    live = _distil(tmp_path / "live", precision="bf16", **OFF)
    outputs = kept["teacher_outputs"]
    assert outputs["computed"] + outputs["read"] == EPOCHS * TRAINED
    # Which 4 of 36 an epoch drops is chance: a view's second epoch may meet new ones.
    assert 2 * TRAINED <= outputs["computed"] <= 2 * 36
    assert live["teacher_outputs"] is None
    assert weights_hash(tmp_path / "kept") == weights_hash(tmp_path / "live")


def test_a_teachers_second_student_computes_no_outputs_whatever_its_seed(tmp_path: Path) -> None:
    first = {**VIEWS, "data": {"batch_size": 12, "validation": 0.25, "augment": ["crop"]}}
    _distil(tmp_path / "first", **first)
    _share(tmp_path / "first", tmp_path / "again")
    again = _distil(tmp_path / "again", **first)
    assert again["teacher_outputs"] == {"computed": 0, "read": EPOCHS * 36}
    assert weights_hash(tmp_path / "again") == weights_hash(tmp_path / "first")
    _share(tmp_path / "first", tmp_path / "other")
    other = _distil(tmp_path / "other", seed=1, **first)
    # Another seed holds out other samples: those alone are new.
    outputs = other["teacher_outputs"]
    assert 0 < outputs["computed"] <= 2 * 12 and outputs["read"] >= EPOCHS * 36 - 2 * 12


def test_interrupted_in_a_view_s_first_epoch_it_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _distil(tmp_path / "control", **VIEWS)
    with monkeypatch.context() as patch:
        _interrupt_after(patch, 6)
        changes = {"stages": [stage(HARD, KD, epochs=EPOCHS)], **VIEWS}
        folder = make_folder(tmp_path / "run", **changes)
        assert main(["run", str(folder)]) == Exit.INTERRUPTED
    assert Checkpoints(folder / "checkpoints").load()[0] is not None
    result = _distil(folder, **VIEWS)
    assert result["resumes"] == 1
    assert weights_hash(folder) == weights_hash(tmp_path / "control")


def _interrupt_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    """Act as if SIGTERM came in this step of the run."""
    real, done = Trainer._after_step, [0]

    def after_step(self: Trainer, *arguments: Any) -> None:
        done[0] += 1
        self._stop.requested = self._stop.requested or done[0] == steps
        real(self, *arguments)

    patch.setattr(Trainer, "_after_step", after_step)


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher_cache": {"views": 3}},
        {"precision": "bf16"},
        {"data": {"batch_size": 8, "validation": 0.25, "augment": ["flip"]}},
        {"data": {"batch_size": 8, "validation": 0.25, "augment": ["crop"], "train_limit": 40}},
        {"data": {"batch_size": 8, "validation": 0.25, "augment": ["crop"], "pad_to": [10, 10]}},
    ],
)
def test_outputs_of_other_images_are_not_used(changes: dict[str, Any], tmp_path: Path) -> None:
    first = {**VIEWS, "precision": "fp32"}
    _distil(tmp_path / "first", **first)
    _share(tmp_path / "first", tmp_path / "other")
    other = _distil(tmp_path / "other", **{**first, **changes})
    control = _distil(tmp_path / "control", **{**first, **changes})
    assert other["teacher_outputs"] == control["teacher_outputs"]


def test_outputs_of_another_teacher_are_not_used(tmp_path: Path) -> None:
    _distil(tmp_path / "first", **VIEWS)
    _share(tmp_path / "first", tmp_path / "other")
    stages = [stage(HARD, KD, epochs=EPOCHS)]
    folder = make_folder(tmp_path / "other", stages=stages, **VIEWS)
    torch.manual_seed(5)
    save_weights(build_network(TEACHER), folder / "teacher.safetensors")
    assert main(["run", str(folder)]) == Exit.OK
    assert result_of(folder)["teacher_outputs"]["computed"] >= 2 * TRAINED


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher_cache": {}},  # every epoch has its own augmentation
        {"teacher_cache": {"views": 2, "max_bytes": 100}},
        {"teacher_cache": {"views": 2}, "stages": [stage(HARD, {"method": "at"})]},
        {"teacher_cache": {"views": 2}, "stages": [stage(HARD, {"method": "overhaul"}, KD)]},
    ],
)
def test_what_cannot_be_cached_is_computed(changes: dict[str, Any], tmp_path: Path) -> None:
    result = _distil(tmp_path, baseline=False, **changes)
    assert result["teacher_outputs"] is None
    warnings = [e["message"] for e in events_of(tmp_path, "log") if e["level"] == "warning"]
    warned = any("max_bytes" in message for message in warnings)
    assert warned == ("max_bytes" in changes["teacher_cache"])


def test_outputs_of_images_that_are_not_augmented_are_cached_by_default(tmp_path: Path) -> None:
    data = {"batch_size": 12, "validation": 0.25, "augment": []}
    result = _distil(tmp_path, data=data, baseline=False)
    assert result["teacher_outputs"] == {"computed": 36, "read": (EPOCHS - 1) * 36}


def test_simkd_reads_features_from_disk(tmp_path: Path) -> None:
    stages = [stage({"method": "simkd"}, epochs=EPOCHS)]
    result = _distil(tmp_path, stages=stages, **VIEWS)
    assert result["teacher_outputs"]["read"] >= 2 * TRAINED - 8


def test_cached_scores_come_back_and_damaged_ones_do_not(tmp_path: Path) -> None:
    scores = [Score(accuracy=0.5, loss=1.25, samples=2)]
    kept = CachedScores(tmp_path, {"images": "x"})
    assert kept.load() is None
    kept.save(scores, torch.tensor([1, 0]))
    found = CachedScores(tmp_path, {"images": "x"}).load()
    assert found is not None and found[0] == scores
    assert found[1] is not None and found[1].tolist() == [1, 0]
    assert CachedScores(tmp_path, {"images": "y"}).load() is None
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"1.25", b"1.26"))
    assert kept.load() is None


def test_a_teacher_is_not_scored_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _distil(tmp_path / "first")
    _share(tmp_path / "first", tmp_path / "again")

    def refuse(*_: Any) -> None:
        raise AssertionError("it is known")

    monkeypatch.setattr("kdcore.training.evaluate.score_teachers", refuse)
    again = _distil(tmp_path / "again")
    assert again["teachers"][0]["last"] == first["teachers"][0]["last"]
    assert again["student"]["last"] == first["student"]["last"]
