"""A whole distillation in one process: the files it leaves, and its events."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kdcore.__main__ import main
from kdcore.data.batches import Batch
from kdcore.networks.weights import load_network, save_weights
from kdcore.networks.zoo import build_network
from kdcore.objectives.objectives import Loss
from kdcore.runs.distill import identity_of
from kdcore.runtime.signals import StopFlag
from kdcore.spec.codes import Exit
from kdcore.spec.result import RUN_RESULT, DistillResult
from kdcore.spec.run import Input, Network
from kdcore.training.stage import StageRun
from tests.kdcore.tiny import (
    FITNET,
    HARD,
    KD,
    TEACHER,
    events_of,
    make_folder,
    make_spec,
    parse,
    result_of,
    stage,
    weights_hash,
    write_digits,
)

LISTEN = StopFlag.listen


@pytest.fixture(autouse=True)
def _keep_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signal handlers belong to the process; keep pytest's."""
    monkeypatch.setattr("kdcore.runtime.signals.StopFlag.listen", lambda _self: None)


def _distil(folder: Path, **changes: Any) -> DistillResult:
    assert main(["run", str(make_folder(folder, **changes))]) == Exit.OK, events_of(folder)[-1]
    result = RUN_RESULT.validate_json((folder / "out" / "result.json").read_bytes())
    assert isinstance(result, DistillResult)
    return result


def test_two_stages_leave_student_baseline_and_proof(tmp_path: Path) -> None:
    stages = [stage(FITNET), stage(HARD, KD, epochs=3)]
    result = _distil(tmp_path, stages=stages, export=["safetensors", "onnx"])
    assert result.split == "test" and result.student.last.samples == 24
    assert result.baseline is not None and result.gain is not None
    assert result.baseline.last.accuracy is not None and result.student.last.accuracy is not None
    assert result.gain == result.student.last.accuracy - result.baseline.last.accuracy
    assert result.student.last.agreement is not None
    kinds = [a.kind for a in result.artifacts]
    assert kinds[:3] == ["weights", "onnx", "config"] and "baseline_weights" in kinds
    assert ("weights_best" in kinds) == (result.student.best_epoch != 4)
    for artifact in result.artifacts:
        path = tmp_path / "out" / artifact.path
        assert path.stat().st_size == artifact.size_bytes
    network = Network.model_validate_json((tmp_path / "out" / "config.json").read_bytes())
    assert network == result.network
    student = load_network(network, tmp_path / "out" / "student.safetensors")
    assert sum(p.numel() for p in student.parameters()) == result.student.parameters
    phases = [e["phase"] for e in events_of(tmp_path, "phase")]
    assert phases == [
        "preparing", "teacher", "training", "baseline", "evaluating", "exporting", "saving"
    ]  # fmt: skip
    first = events_of(tmp_path, "metrics")[0]
    assert (first["step"], list(first["values"])) == (0, ["teacher/accuracy"])
    assert events_of(tmp_path)[-1]["exit"] == "OK"


def test_the_exported_student_holds_nothing_of_the_method(tmp_path: Path) -> None:
    """Trap 7: a regressor left in the student."""
    _distil(tmp_path, stages=[stage(FITNET), stage(KD)], baseline=False)
    names = load_file(tmp_path / "out" / "student.safetensors")
    assert not any("regressor" in n or "method" in n for n in names)


def test_teacher_files_and_buffers_are_untouched(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    before = (folder / "teacher.safetensors").read_bytes()
    spec = make_spec(baseline=False)
    spec["teachers"][0]["batch_norm"] = "train"
    assert main(["run", str(make_folder(folder, **spec))]) == Exit.OK
    assert (folder / "teacher.safetensors").read_bytes() == before


def test_unlabelled_images_are_learnt_from_teachers_alone(tmp_path: Path) -> None:
    write_digits(tmp_path / "data.npz", labels=False)
    result = _distil(tmp_path, stages=[stage(KD)])
    assert result.baseline is None and result.gain is None and result.retention is None
    last = result.student.last
    assert last.accuracy is None and last.agreement is not None and last.samples == 24
    assert any("labels" in e["message"] for e in events_of(tmp_path, "log"))
    assert any("student/agreement" in e["values"] for e in events_of(tmp_path, "metrics"))


def test_without_teachers_it_is_plain_training(tmp_path: Path) -> None:
    result = _distil(tmp_path, teachers=[], stages=[stage(HARD)])
    assert result.teachers == () and result.baseline is None and result.retention is None
    assert "teacher" not in [e["phase"] for e in events_of(tmp_path, "phase")]


def test_several_teachers_are_reported_alone_and_together(tmp_path: Path) -> None:
    spec = make_spec()
    network = TEACHER.model_dump(mode="json")
    teacher = {"network": network, "weights": "teacher.safetensors"}
    teachers = [{**teacher, "name": "a"}, {**teacher, "name": "b", "weight": 2.0}]
    stages = [stage(FITNET), stage(KD)]
    changed = {**spec, "teachers": teachers, "stages": stages, "ensemble": "geometric"}
    result = _distil(
        tmp_path,
        **changed,
    )
    assert [t.name for t in result.teachers] == ["a", "b"] and result.ensemble is not None
    assert result.ensemble.accuracy == result.teachers[0].last.accuracy


def test_a_teacher_from_big_data_with_other_classes_teaches_by_its_features(tmp_path: Path) -> None:
    """Its classes are not the student's: features carry over, class probabilities do not."""
    big = TEACHER.model_copy(update={"num_classes": 7, "input": Input(channels=3)})
    few = {"batch_size": 8, "train_limit": 24, "validation": 0.25}
    teachers = [{"network": big.model_dump(mode="json"), "weights": "big.safetensors"}]
    torch.manual_seed(0)
    save_weights(build_network(big), tmp_path / "big.safetensors")
    result = _distil(
        tmp_path, teachers=teachers, data=few, stages=[stage(HARD, {"method": "reviewkd"})]
    )
    assert result.teachers[0].last.accuracy is None and result.student.last.accuracy is not None
    assert result.gain is not None and result.retention is None
    with_kd = make_folder(tmp_path / "kd", teachers=teachers, stages=[stage(KD)])
    save_weights(build_network(big), with_kd / "big.safetensors")
    assert main(["run", str(with_kd)]) == Exit.BAD_SPEC
    end = events_of(with_kd)[-1]
    assert (end["code"], end["pointer"]) == ("class_count_mismatch", "/stages/0/objectives/0")
    assert "reviewkd" in end["message"]


def test_a_run_warns_of_what_will_disappoint(tmp_path: Path) -> None:
    data = {"batch_size": 2, "train_limit": 2, "validation": 0}
    _distil(tmp_path, data=data, stages=[stage({"method": "at"})])
    warnings = [e["message"] for e in events_of(tmp_path, "log") if e["level"] == "warning"]
    assert any("1 of 3 classes have no image" in w for w in warnings)
    assert any("no objective reads the student's logits" in w for w in warnings)


def test_a_finished_run_started_again_trains_nothing_and_gives_the_same(tmp_path: Path) -> None:
    _distil(tmp_path)
    first, weights = result_of(tmp_path), weights_hash(tmp_path)
    assert main(["run", str(tmp_path)]) == Exit.OK
    again = result_of(tmp_path)
    assert again["resumes"] == 1 and again["bit_exact"] and again["gain"] == first["gain"]
    assert weights_hash(tmp_path) == weights
    assert "training" not in [e["phase"] for e in events_of(tmp_path, "phase")]


def test_checkpoints_of_another_spec_are_refused(tmp_path: Path) -> None:
    _distil(tmp_path, baseline=False)
    make_folder(tmp_path, baseline=False, seed=4)
    assert main(["run", str(tmp_path)]) == Exit.BAD_SPEC
    assert events_of(tmp_path)[-1]["code"] == "checkpoint_of_other_spec"
    make_folder(tmp_path, baseline=False, checkpoint_every_s=1, export=["onnx"])
    assert main(["run", str(tmp_path)]) == Exit.OK


def test_with_every_augmentation_a_stopped_run_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mixed images too: teacher, student and labels see the same ones, resumed or not."""
    augment = [
        *("random_resized_crop", "flip", {"name": "rand_augment", "spread": 9}),
        *("colour_jitter", "cutout", "mixup", "cutmix"),
    ]
    data = {"batch_size": 8, "validation": 0.25, "augment": augment}
    spec: dict[str, Any] = {"data": data, "stages": [stage(HARD, KD, epochs=2)]}
    _distil(tmp_path / "whole", **spec)
    with monkeypatch.context() as patch:
        step, seen = StageRun.step, list[int]()

        def stop_in_the_middle(self: StageRun, batch: Batch, number: int) -> Loss:
            assert batch.mix is not None
            seen.append(number)
            if len(seen) == 5:
                signal.raise_signal(signal.SIGTERM)
            return step(self, batch, number)

        patch.setattr(StageRun, "step", stop_in_the_middle)
        patch.setattr(StopFlag, "listen", LISTEN)
        before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
        try:
            folder = make_folder(tmp_path / "stopped", **spec)
            assert main(["run", str(folder)]) == Exit.INTERRUPTED
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    assert len(seen) == 5
    result = _distil(tmp_path / "stopped", **spec)
    assert result.resumes == 1
    assert weights_hash(tmp_path / "stopped") == weights_hash(tmp_path / "whole")


def test_a_damaged_checkpoint_is_reported_and_the_run_starts_over(tmp_path: Path) -> None:
    _distil(tmp_path, baseline=False)
    weights = weights_hash(tmp_path)
    for file in (tmp_path / "checkpoints").glob("*/state.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    assert main(["run", str(tmp_path)]) == Exit.OK
    assert any("damaged" in e["message"] for e in events_of(tmp_path, "log"))
    assert result_of(tmp_path)["resumes"] == 0 and weights_hash(tmp_path) == weights


def test_the_student_learns(tmp_path: Path) -> None:
    """A dozen epochs on bright stripes: from chance to nearly all."""
    write_digits(tmp_path / "data.npz", train=120)
    slow = {"name": "sgd", "learning_rate": 0.02}
    result = _distil(tmp_path, teachers=[], stages=[stage(HARD, epochs=12, optimizer=slow)])
    assert result.student.last.accuracy is not None and result.student.last.accuracy > 0.8
    losses = [e["values"] for e in events_of(tmp_path, "metrics")]
    assert torch.tensor([v["student/loss"] for v in losses if "student/loss" in v]).isfinite().all()
    assert json.dumps(losses)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"device": "auto", "threads": 2, "precision": "bf16"}, True),
        ({"checkpoint_every_s": 1, "export": ["onnx"], "limits": {"attempts": 1}}, True),
        ({"dataset": {"path": "elsewhere.npz", "format": "npz", "packs": "shared"}}, True),
        ({"teacher_cache": {"enabled": False, "max_bytes": 0}}, True),
        ({"teacher_cache": {"views": 2}}, False),
        ({"seed": 1}, False),
        ({"stages": [stage(HARD, KD, ema={})]}, False),
        ({"data": {"batch_size": 8, "validation": 0.25, "augment": ["flip"]}}, False),
    ],
)
def test_the_identity_of_a_run_holds_what_decides_the_training(
    changes: dict[str, Any], same: bool
) -> None:
    identity = identity_of(parse(make_spec()))
    assert (identity_of(parse(make_spec(**changes))) == identity) is same


def test_the_average_is_what_is_exported(tmp_path: Path) -> None:
    slow = {"name": "sgd", "learning_rate": 1e-30}
    frozen = [stage(HARD, optimizer=slow, ema={})]
    result = _distil(tmp_path / "a", stages=frozen, teachers=[])
    averaged = load_file(tmp_path / "a" / "out" / "student.safetensors")
    _distil(tmp_path / "b", stages=[{**frozen[0], "ema": None}], teachers=[])
    plain = load_file(tmp_path / "b" / "out" / "student.safetensors")
    assert set(averaged) == set(plain) and result.student.last.accuracy is not None
    different = {k for k, v in averaged.items() if not torch.equal(v, plain[k])}
    # Biases that began at 0 moved by 1e-30.
    assert {k for k in different if not k.endswith("bias")} == {k for k in plain if "running_" in k}
