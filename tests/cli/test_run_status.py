"""The status follows events, and looks right on a terminal and on a plain output."""

import io
from typing import Any

import pytest
from rich.console import Console

from distillery.cli.display import StatusDisplay
from distillery.cli.run_status import RunStatus

PROGRESS: dict[str, Any] = {
    "arm": "student",
    "stage": 0,
    "stages": 1,
    "epoch": 2,
    "epochs": 6,
    "step": 50,
    "steps": 100,
    "images_per_s": 1234.5,
    "fraction": 0.25,
    "eta_s": 75.0,
}


@pytest.fixture
def run_status() -> RunStatus:
    run_status = RunStatus("digits")
    run_status.apply_event("phase", {"phase": "training"})
    run_status.apply_event("progress", PROGRESS)
    run_status.apply_event("metrics", {"step": 0, "values": {"teacher/accuracy": 0.98}})
    run_status.apply_event(
        "metrics", {"step": 50, "values": {"student/accuracy": 0.91, "student/loss": 0.4}}
    )
    run_status.apply_event("checkpoint", {"arm": "student", "step": 50, "path": "x"})
    run_status.apply_event("something-newer", {})
    return run_status


def _print(thing: object, **console: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=120, **console).print(thing)
    return out.getvalue()


def test_it_shows_state_bars_and_accuracies(run_status: RunStatus) -> None:
    text = _print(run_status)
    assert "digits running, training the student" in text
    assert "50%" in text and "epoch 2/6" in text and "1,234 images/s" in text
    assert "1:15 left" in text
    assert "accuracy: teacher 98.0%  student 91.0%  loss 0.400" in text


def test_a_plain_output_gets_a_line_only_for_a_step_forward(run_status: RunStatus) -> None:
    out = io.StringIO()
    with StatusDisplay(Console(file=out, width=120), run_status) as display:
        for step in (51, 52, 53):
            display.apply_event("progress", {**PROGRESS, "step": step}, {})
        display.apply_event("progress", {**PROGRESS, "epoch": 3}, {})
    title, first, second = out.getvalue().splitlines()
    assert title == "digits"
    assert first.startswith("  running, training the student, student epoch 2/6, accuracy:")
    assert "student epoch 3/6, accuracy: teacher 98.0%" in second


def test_json_lines_carry_every_event_unchanged(run_status: RunStatus) -> None:
    out = io.StringIO()
    with StatusDisplay(Console(file=out, width=20), run_status, as_json=True) as display:
        display.apply_event(
            "log", {"message": "[bold]x"}, {"kind": "log", "message": "[bold]" + "x" * 40}
        )
    assert out.getvalue() == '{"event": {"kind": "log", "message": "[bold]' + "x" * 40 + '"}}\n'
