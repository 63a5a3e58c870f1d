"""However a run ends, its exit code and last event name the reason; a killed one resumes with the
same bits."""

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kdcore.runs.run import run
from kdcore.runtime.errors import RunError
from kdcore.runtime.signals import Interrupted, StopFlag
from kdcore.spec.codes import Exit
from kdcore.spec.events import RUN_EVENT
from kdcore.spec.result import RUN_RESULT
from kdcore.spec.spec_codes import SpecCode
from tests.kdcore.tiny import (
    FITNET,
    HARD,
    KD,
    TEACHER,
    events_of,
    make_folder,
    result_of,
    stage,
)

LONG = [stage(FITNET), stage(HARD, KD, epochs=4)]


def _start(folder: Path) -> subprocess.Popen[bytes]:
    log = (folder / "run.log").open("ab")
    command = [sys.executable, "-m", "kdcore", "run", str(folder)]
    return subprocess.Popen(command, stdout=log, stderr=log)


def _wait_for(folder: Path, what: Callable[[list[dict[str, Any]]], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        if (folder / "events.jsonl").exists() and what(events_of(folder, "checkpoint")):
            return
        time.sleep(0.01)
    raise AssertionError((folder / "run.log").read_text())


def _weights(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("student", "baseline"):
        tensors = load_file(folder / "out" / f"{name}.safetensors")
        for key in sorted(tensors):
            digest.update(tensors[key].numpy().tobytes())
    return digest.hexdigest()


def test_killed_and_stopped_processes_resume_with_the_same_bits(tmp_path: Path) -> None:
    """SIGKILL in the second stage, SIGTERM in the baseline, against an undisturbed run."""
    spec = {"stages": LONG, "checkpoint_every_s": 0}
    control = make_folder(tmp_path / "control", **{**spec, "checkpoint_every_s": 3600})
    assert run(control, StopFlag()) is Exit.OK
    folder = make_folder(tmp_path / "broken", **spec)
    killed = _start(folder)
    _wait_for(folder, lambda saved: any(e["step"] > 6 for e in saved))
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait(10) == -signal.SIGKILL
    stopped = _start(folder)
    _wait_for(folder, lambda saved: any(e["arm"] == "baseline" for e in saved))
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(30) == Exit.INTERRUPTED
    assert events_of(folder)[-1]["exit"] == "INTERRUPTED"
    assert run(folder, StopFlag()) is Exit.OK
    result = result_of(folder)
    assert result["resumes"] == 2 and result["bit_exact"]
    assert _weights(folder) == _weights(control)
    assert result["student"]["best_epoch"] == result_of(control)["student"]["best_epoch"]


def test_inspections_are_runs_too(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    model_spec = {
        "task": "inspect_model",
        "network": TEACHER.model_dump(mode="json"),
        "weights": "teacher.safetensors",
        "format": "safetensors",
    }
    (folder / "spec.json").write_text(json.dumps(model_spec))
    assert run(folder, StopFlag()) is Exit.OK
    model = RUN_RESULT.validate_json((folder / "out" / "result.json").read_bytes())
    assert model.task == "inspect_model" and "stage1.0.relu1" in model.modules
    dataset_spec = {"task": "inspect_dataset", "dataset": {"path": "data.npz", "format": "npz"}}
    (folder / "spec.json").write_text(json.dumps(dataset_spec))
    assert run(folder, StopFlag()) is Exit.OK
    dataset = RUN_RESULT.validate_json((folder / "out" / "result.json").read_bytes())
    assert dataset.task == "inspect_dataset" and (dataset.train, dataset.test) == (48, 24)


def test_bad_input_has_its_own_exit_and_leaves_no_result(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "out").mkdir()
    (folder / "out" / "result.json").write_text("old")
    (folder / "teacher.safetensors").write_bytes(b"nonsense")
    assert run(folder, StopFlag()) is Exit.BAD_INPUT
    assert not (folder / "out" / "result.json").exists()
    assert events_of(folder)[-1]["pointer"] == "/teachers/0/weights"


def test_a_diverging_run_says_where(tmp_path: Path) -> None:
    wild = {"name": "sgd", "learning_rate": 100, "momentum": 0.99}
    stages = [stage({**HARD, "weight": 1e30}, epochs=4, optimizer=wild)]
    folder = make_folder(tmp_path, teachers=[], stages=stages)
    assert run(folder, StopFlag()) is Exit.DIVERGED
    end = events_of(folder)[-1]
    assert end["code"] == "diverged" and "stage 1, epoch " in end["message"]


FAULTS: list[tuple[BaseException, Exit, str]] = [
    (RunError(SpecCode.BAD_PAD, "y"), Exit.BAD_SPEC, "bad_pad"),
    (Interrupted(), Exit.INTERRUPTED, "interrupted"),
    (MemoryError(), Exit.OUT_OF_MEMORY, "out_of_memory"),
    (torch.OutOfMemoryError("CUDA out of memory."), Exit.OUT_OF_MEMORY, "out_of_memory"),
    (OSError(errno.ENOSPC, "No space left on device"), Exit.NO_SPACE, "no_space"),
    (RuntimeError("PytorchStreamWriter: No space left on device"), Exit.NO_SPACE, "no_space"),
    (OSError(errno.EACCES, "Permission denied"), Exit.BUG, "bug"),
    (ZeroDivisionError("oops"), Exit.BUG, "bug"),
]


@pytest.mark.parametrize(("fault", "exit", "code"), FAULTS)
def test_every_failure_has_a_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: BaseException,
    exit: Exit,
    code: str,
) -> None:
    def die(*_: object) -> None:
        raise fault

    monkeypatch.setattr("kdcore.runs.distill.prepare", die)
    assert run(make_folder(tmp_path), StopFlag()) is exit
    end = events_of(tmp_path)[-1]
    assert (end["kind"], end["exit"], end["code"]) == ("end", exit.name, code)
    assert ("Traceback" in capsys.readouterr().err) == (exit is Exit.BUG)
    assert not (tmp_path / "out" / "result.json").exists()


def test_with_a_disk_too_full_for_the_last_event_the_exit_code_names_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("kdcore.runs.distill.prepare", full)
    monkeypatch.setattr("kdcore.runtime.event_log.EventLog.fail", full)
    with Path("/dev/full").open("wb", buffering=0) as raw:
        monkeypatch.setattr("sys.stderr", io.TextIOWrapper(raw, write_through=True))
        assert run(make_folder(tmp_path), StopFlag()) is Exit.NO_SPACE
        monkeypatch.setattr("kdcore.runs.distill.prepare", lambda *_: 1 / 0)
        assert run(tmp_path, StopFlag()) is Exit.BUG


def test_a_real_allocation_failure_is_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdcore.runs.distill.prepare", lambda *_: torch.empty(2**60))
    assert run(make_folder(tmp_path), StopFlag()) is Exit.OUT_OF_MEMORY


def test_labels_that_do_not_fit_are_bad_input(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    np.savez(folder / "data.npz", x_train=np.zeros((4, 8, 8), np.uint8), y_train=np.arange(3))
    assert run(folder, StopFlag()) is Exit.BAD_INPUT


def test_events_are_the_documented_kinds(tmp_path: Path) -> None:
    assert run(make_folder(tmp_path, baseline=False), StopFlag()) is Exit.OK
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    read = [RUN_EVENT.validate_json(line) for line in lines]
    assert [e.seq for e in read] == list(range(1, len(read) + 1))
