"""Real processes killed at exact places leave the same as a run that is not disturbed.

The long form is in killed_runs.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdcore.spec.codes import Exit
from tests.kdcore.killed_runs import FORTY, SPECS, Place, attempt, control, killed, lay_out
from tests.kdcore.tiny import HARD, events_of, result_of, stage

# Each is counted in its own process's life, which begins at the newest checkpoint.
FORTYS_KILLS: list[Place] = [
    ("step", 5),
    ("validation", 2),  # the first stage's last; the place before was a step within it
    ("fsync", 30),  # while a checkpoint is written
    ("step", 21),  # the baseline's
    ("rename", 7),
    ("report", 2),
    ("export", 1),
]


@pytest.mark.timeout(1200)  # a busy machine may take its time
def test_forty_steps_killed_over_and_over_leave_the_same(tmp_path: Path) -> None:
    """Two stages, an average, the baseline: some kills a few steps behind the checkpoint."""
    left, calls = control(tmp_path / "whole", FORTY)
    assert calls["step"] == 80 and calls["report"] == 2 and len(left.metrics) > 80
    assert {"student.safetensors", "baseline.safetensors"} <= left.weights.keys()
    assert killed(tmp_path / "run", FORTY, FORTYS_KILLS, every=3) == left


def test_a_reused_classifier_too(tmp_path: Path) -> None:
    left, calls = control(tmp_path / "whole", SPECS["simkd"])
    places: list[Place] = [("step", calls["step"] // 2), ("step", 3)]
    assert killed(tmp_path / "run", SPECS["simkd"], places) == left


def test_with_other_threads_it_resumes_with_a_warning(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, {"stages": [stage(HARD)], "teachers": [], "baseline": False})
    assert attempt(folder, ("step", 3))[0] == -9
    manifest = json.loads((folder / "checkpoints" / "00000002" / "manifest.json").read_text())
    assert manifest["machine"]["threads"] == 1 and manifest["machine"]["precision"]
    spec = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(spec | {"threads": 2}))
    command = [sys.executable, "-m", "kdcore", "run", str(folder)]
    assert subprocess.run(command, check=False).returncode == Exit.OK
    result = result_of(folder)
    assert result["resumes"] == 1 and result["machine"]["threads"] == 2
    assert result["bit_exact"] is False
    assert any("another machine profile" in e["message"] for e in events_of(folder, "log"))


def test_without_a_valid_checkpoint_it_starts_over_with_a_warning(tmp_path: Path) -> None:
    folder = lay_out(tmp_path, SPECS["kd"])
    code, first = attempt(folder, ("step", 7))
    for checkpoint in (folder / "checkpoints").iterdir():
        file = checkpoint / "state.safetensors"
        file.write_bytes(bytes(file.stat().st_size))
    code, more = attempt(folder, None)
    assert code == Exit.OK and {(e["step"], *e["values"]) for e in first} <= {
        (e["step"], *e["values"]) for e in more
    }
    warnings = [e["message"] for e in events_of(folder, "log") if e["level"] == "warning"]
    assert sum("is damaged and was removed" in line for line in warnings) == 2
    assert any("the run starts over" in line for line in warnings)
    assert result_of(folder)["resumes"] == 0
