"""A run's folder is laid out from a spec with paths of its own, and never given to another spec."""

import json
from pathlib import Path
from typing import Any

import pytest

from distillery.local.runs import lay_out
from distillery.sdk.errors import UsageMistake
from kdcore.spec.run import DistillRun

SPEC: dict[str, Any] = {
    "task": "distill",
    "student": {"architecture": "resnet8"},
    "teachers": [
        {"network": {"architecture": "resnet20", "num_classes": 4}, "weights": "t.safetensors"}
    ],
    "dataset": {"path": "data/p.npz", "format": "npz"},
    "stages": [{"epochs": 1, "objectives": [{"method": "kd"}]}],
}


def _write(path: Path, spec: dict[str, Any]) -> Path:
    path.write_text(json.dumps(spec))
    return path


def test_paths_are_relative_to_the_spec(tmp_path: Path) -> None:
    spec = lay_out(_write(tmp_path / "spec.json", SPEC), tmp_path / "out")
    assert isinstance(spec, DistillRun)
    assert spec.dataset.path == str(tmp_path / "data/p.npz")
    assert spec.teachers[0].weights == str(tmp_path / "t.safetensors")
    assert json.loads((tmp_path / "out/spec.json").read_text())["seed"] == 0


def test_the_same_spec_takes_a_folder_up_again_and_another_is_refused(tmp_path: Path) -> None:
    lay_out(_write(tmp_path / "spec.json", SPEC), tmp_path / "out")
    lay_out(tmp_path / "spec.json", tmp_path / "out")
    with pytest.raises(UsageMistake, match="another spec"):
        lay_out(_write(tmp_path / "spec.json", {**SPEC, "seed": 1}), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": []}, "/distill/stages"),
        ({"task": "fly"}, "task"),
        ({"teachers": []}, "reads a teacher"),
    ],
)
def test_a_bad_spec_is_named_and_leaves_nothing(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageMistake, match=words):
        lay_out(_write(tmp_path / "spec.json", {**SPEC, **change}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
