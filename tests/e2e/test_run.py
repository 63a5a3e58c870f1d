"""`kd run` without a service: Ctrl-C checkpoints, and the same command resumes."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distillery.sdk.config import child_environment
from kdcore.spec.result import DistillResult
from tests.e2e.pictures import training, write_pictures
from tests.e2e.service import wait_until

pytestmark = pytest.mark.e2e


def _kd(spec: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distillery.cli.main",
            "run",
            str(spec),
            "--threads",
            "1",
            "--out",
            str(out),
            *more,
        ],
        env=child_environment(OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "p.npz")
    body = training("p.npz", epochs=60, checkpoint_every_s=1000)
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(body))
    return path


def test_the_same_command_resumes_after_ctrl_c(spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = _kd(spec, out)
    events = out / "events.jsonl"
    wait_until(lambda: events.exists() and '"progress"' in events.read_text(), 60, "steps")
    first.send_signal(signal.SIGINT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == 130, output
    assert "the same command resumes the run" in output and "Traceback" not in output

    output, _ = _kd(spec, out, "--json").communicate(timeout=120)
    lines = [json.loads(line) for line in output.splitlines()]
    assert {"phase", "progress", "metrics", "end"} <= {
        line["event"]["kind"] for line in lines if "event" in line
    }
    result = DistillResult.model_validate(lines[-1]["result"])
    assert result.resumes == 1
    assert (out / "out" / "student.onnx").exists()

    started_s = time.monotonic()
    again = _kd(spec, out)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0 and "resnet8" in output
    assert time.monotonic() - started_s < 10  # nothing was trained again


def test_an_invalid_dataset_is_reported(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "p.npz").write_bytes(b"no arrays")
    run = _kd(spec, tmp_path / "out")
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "The run failed (" in output and "Traceback" not in output
