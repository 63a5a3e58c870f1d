"""A run's folder is laid out once, and never given to another run."""

import json
from pathlib import Path

import pytest

from distillery.local.runs import lay_out
from distillery.sdk.errors import UsageMistake
from kdcore.spec.run import DistillRun

RUN = DistillRun.model_validate(
    {
        "student": {"architecture": "resnet8"},
        "dataset": {"path": "/data/p.npz", "format": "npz"},
        "stages": [{"epochs": 1, "objectives": [{"method": "hard_target"}]}],
    }
)


def test_the_same_run_resumes_in_its_folder_and_another_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    lay_out(RUN, out)
    lay_out(RUN, out)
    with pytest.raises(UsageMistake, match="another spec"):
        lay_out(RUN.model_copy(update={"seed": 1}), out)
    assert json.loads((out / "spec.json").read_text())["seed"] == 0
