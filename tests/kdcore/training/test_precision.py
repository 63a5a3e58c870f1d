"""bfloat16 trains like float32: the same curve, step by step, as far as its eight bits allow."""

from pathlib import Path
from typing import Any

import pytest

from kdcore.__main__ import main
from kdcore.spec.codes import Exit
from tests.kdcore.tiny import HARD, events_of, make_folder, stage

GENTLE = {"name": "sgd", "learning_rate": 0.02}


@pytest.fixture(autouse=True)
def _keep_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signal handlers belong to the process; keep pytest's."""
    monkeypatch.setattr("kdcore.runtime.signals.StopFlag.listen", lambda _self: None)


def _losses(folder: Path, method: dict[str, Any], precision: str) -> list[float]:
    changes = {"stages": [stage(HARD, method, epochs=8, optimizer=GENTLE)], "baseline": False}
    assert main(["run", str(make_folder(folder, precision=precision, **changes))]) == Exit.OK
    values = [event["values"] for event in events_of(folder, "metrics")]
    return [value["student/loss"] for value in values if "student/loss" in value]


@pytest.mark.parametrize("method", ["kd", "fitnet", "at", "overhaul", "reviewkd"])
def test_the_loss_falls_along_the_same_curve(method: str, tmp_path: Path) -> None:
    knobs = {"method": method, "weight": 10.0} if method == "at" else {"method": method}
    exact = _losses(tmp_path / "fp32", knobs, "fp32")
    short = _losses(tmp_path / "bf16", knobs, "bf16")
    assert len(exact) == len(short) >= 8
    assert exact != short, "another precision"
    assert exact[-1] < 0.9 * exact[0], "something is learnt"
    # Tiny networks on few images: small differences grow with every step.
    assert short[0] == pytest.approx(exact[0], rel=0.02)
    assert sum(short) == pytest.approx(sum(exact), rel=0.05)
