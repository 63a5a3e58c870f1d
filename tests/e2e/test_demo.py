"""The steps of the demo with a tiny budget and several seeds, twice in a row."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from distillery.cli import demo
from distillery.cli.commands.demo import report
from distillery.cli.terminal import Terminal
from distillery.sdk.config import ClientSettings
from tests.e2e.service import Service

pytestmark = pytest.mark.e2e


def test_the_demo_works_twice_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TEACHER", {"architecture": "resnet8"})
    for role in ("TEACHER", "STUDENT"):
        stage, data = f"{role}_STAGE", f"{role}_DATA"
        monkeypatch.setattr(demo, stage, {**getattr(demo, stage), "epochs": 1})
        monkeypatch.setattr(demo, data, {**getattr(demo, data), "train_limit": 320})
    output = io.StringIO()
    term = Terminal(ClientSettings())
    term.out = Console(file=output, width=80)
    with Service(tmp_path / "home") as service:
        first = demo.play(term, service.client, tmp_path / "out", [0])
        again = demo.play(term, service.client, tmp_path / "out", [1])
        teachers = [m for m in service.client.models.list() if m.name == "digits-teacher"]
    assert len(first.jobs) == len(again.jobs) == 1
    assert teachers[0].parameters == 77_754
    assert teachers[0].sha256 == teachers[1].sha256  # bit-identical both times
    for seed in (0, 1):
        assert {"student.onnx", "student.safetensors", "config.json"} <= {
            path.name for path in (tmp_path / "out" / f"student-seed-{seed}").iterdir()
        }
    report(term, demo.Outcome([*first.jobs, *again.jobs], tmp_path / "out"), took_s=1.0)
    lines = output.getvalue().splitlines()
    assert any("same, from scratch" in line and "5,142" in line for line in lines)
    assert any(line.split()[0] == "spread" for line in lines if line.strip())
