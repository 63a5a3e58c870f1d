"""`pip install 'distillery-kd[all]'`: the service, its dashboard and the demo, from the wheel."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.pictures import training, write_pictures
from tests.e2e.service import QUICK, wait_until
from tests.packaging.conftest import VERSION
from tests.packaging.venv import Environment

pytestmark = [pytest.mark.e2e, pytest.mark.dashboard]

# The demo, unchanged except for its budget.
DEMO = """
import sys
from distillery.cli import demo
from distillery.cli.main import main

demo.TEACHER = {"architecture": "resnet8"}
for part in ("TEACHER", "STUDENT"):
    setattr(demo, f"{part}_STAGE", {**getattr(demo, f"{part}_STAGE"), "epochs": 1})
    setattr(demo, f"{part}_DATA", {**getattr(demo, f"{part}_DATA"), "train_limit": 320})
main(["demo", *sys.argv[1:]])
"""


@contextmanager
def _up(environment: Environment) -> Iterator[tuple[str, psutil.Process]]:
    """Run `kd up` in the empty folder; yields its URL and process, and interrupts it afterwards."""
    url = environment.home / "url"
    process = subprocess.Popen(
        [environment.kd, "up", "--port", "0", "--url-file", url.name],
        cwd=environment.home,
        env=environment.variables(**QUICK),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        wait_until(lambda: url.exists() or process.poll() is not None, 90, "ready")
        assert process.poll() is None, process.stdout.read()
        yield url.read_text().strip(), psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        output = process.stdout.read()
        assert process.wait(60) == 0, output


def test_kd_up_in_an_empty_folder_serves_the_dashboard_and_runs_a_job(
    complete: Environment,
) -> None:
    with _up(complete) as (url, process):
        assert (complete.home / ".kd" / "distillery.sqlite").exists()
        _check_dashboard(url)
        programs = {Path(child.cmdline()[0]).parent for child in process.children(recursive=True)}
        assert programs == {complete.python.parent}
        _check_job(complete)


def _check_dashboard(url: str) -> None:
    page = httpx.get(url)
    assert page.status_code == 200 and '<div id="root">' in page.text
    (script,) = (part for part in page.text.split('"') if part.endswith(".js"))
    served = httpx.get(url + script)
    assert served.status_code == 200 and "javascript" in served.headers["content-type"]
    assert httpx.get(f"{url}/v1/health").json()["version"] == VERSION


def _check_job(complete: Environment) -> None:
    write_pictures(complete.home / "pictures.npz")
    pushed = complete.run(complete.kd, "datasets", "push", "pictures.npz", "--name", "pictures")
    assert pushed.returncode == 0, pushed.stderr
    (complete.home / "job.json").write_text(json.dumps(training("pictures", epochs=1)))
    done = complete.run(complete.kd, "jobs", "submit", "job.json", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout


def test_the_demo_runs_twice_in_a_row(complete: Environment) -> None:
    out = complete.home / ".kd" / "demo" / "out"
    teachers = set()
    for arguments in ([], ["--seeds", "1,2"]):
        done = complete.run(complete.python, "-c", DEMO, *arguments, **QUICK)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert any(line.startswith("teacher") and "77,754" in line for line in lines)
        assert any("same, from scratch" in line and "5,142" in line for line in lines)
        (weights,) = out.glob("*.safetensors")
        teachers.add(weights.read_bytes())
        weights.unlink()
    assert len(teachers) == 1, "the teacher has the same bits both times"
    assert any(line.split()[:1] == ["spread"] for line in lines)
    for seed in range(3):
        names = {path.name for path in (out / f"student-seed-{seed}").iterdir()}
        assert names >= {"student.onnx", "student.safetensors", "config.json"}
