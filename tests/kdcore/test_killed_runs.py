"""Real processes, killed at exact places, leave what a run leaves that nobody disturbed.

The long form is in killed_runs.py."""

from pathlib import Path

import pytest

from tests.kdcore.killed_runs import FORTY, SPECS, Left, Place, control, killed

Whole = tuple[Left, dict[str, int]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Forty steps in two stages, and forty of the baseline."""
    return control(tmp_path_factory.mktemp("whole"), FORTY)


def test_the_control_is_what_is_said_of_it(whole: Whole) -> None:
    left, calls = whole
    assert calls["step"] == 80 and calls["report"] == 2 and calls["fsync"] > 80 * 3
    assert {"student.safetensors", "baseline.safetensors"} <= left.weights.keys()
    steps = {step for step, name in left.metrics if name == "student/loss"}
    assert {25, 40} <= steps and len(left.metrics) > 100


@pytest.mark.parametrize(
    ("places", "every"),
    [
        ([("step", 23), ("step", 17)], 7),  # in the second stage, then at its end
        ([("validation", 3), ("fsync", 30)], 1),  # a stage's last; while a checkpoint is written
        ([("rename", 47), ("step", 33)], 1),  # in the baseline
        ([("report", 2), ("export", 1)], 1),
    ],
)
def test_killed_twice_it_leaves_the_same(
    whole: Whole, tmp_path: Path, places: list[Place], every: int
) -> None:
    assert killed(tmp_path / "run", FORTY, places, every) == whole[0]


@pytest.mark.parametrize("name", ["simkd", "three stages"])
def test_other_specs_too(tmp_path: Path, name: str) -> None:
    left, calls = control(tmp_path / "whole", SPECS[name])
    middle = calls["step"] // 2
    assert killed(tmp_path / "run", SPECS[name], [("step", middle), ("step", 3)], 3) == left
