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
from tests.e2e.pictures import readme_spec, training, write_pictures
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


def test_the_readmes_spec_runs_with_paths_in_place_of_names(tmp_path: Path) -> None:
    """The same text that `POST /v1/jobs` takes with ids: see tests/api/routes/test_jobs.py."""
    write_pictures(tmp_path / "p.npz")
    teacher = tmp_path / "teacher.json"
    teacher.write_text(json.dumps(training("p.npz", epochs=1, export=["safetensors"])))
    spec = readme_spec()
    spec["teachers"][0]["model"] = "teacher/out/student.safetensors"  # its network is beside it
    spec["dataset"] = "p.npz"
    spec["stages"][0]["epochs"] = 1
    student = tmp_path / "student.json"
    student.write_text(json.dumps(spec))
    for path, out in ((teacher, "teacher"), (student, "student")):
        run = _kd(path, tmp_path / out, "--json")
        output, _ = run.communicate(timeout=120)
        assert run.returncode == 0, output
    result = DistillResult.model_validate(json.loads(output.splitlines()[-1])["result"])
    assert [report.name for report in result.teachers] == ["student"]
    assert result.baseline is not None and result.gain is not None
    assert (tmp_path / "student/out/student.onnx").exists()


def test_a_bad_spec_is_told_with_places_in_the_file(spec: Path, tmp_path: Path) -> None:
    body = json.loads(spec.read_text())
    body["stages"][0] |= {"epochs": 0, "objectives": [{"method": "kd", "temperature": -1}]}
    spec.write_text(json.dumps(body | {"teachers": [{"model": "none.safetensors"}], "task": "x"}))
    run = _kd(spec, tmp_path / "out")
    output, _ = run.communicate(timeout=60)
    assert run.returncode == 2
    places = [line.split(":")[0].strip() for line in output.splitlines() if "  /" in line]
    assert places == ["/stages/0/epochs", "/stages/0/objectives/0/temperature", "/task"]
    assert not (tmp_path / "out").exists()
