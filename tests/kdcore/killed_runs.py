"""Kills real runs with SIGKILL at exact places, starts them again, and compares what they leave.

`python -m tests.kdcore.killed_runs [NAME ...]`: every place of every spec, a quarter of an hour on
two cores; the suite runs a few places (test_killed_runs.py). Processes are forked from one that has
imported everything; there is one thread, and no GPU, so that a fork is safe.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import kdcore.runs.distill
from kdcore.runs.run import run
from kdcore.runs.warm import train_once
from kdcore.runtime.signals import StopFlag
from kdcore.spec.codes import Exit
from kdcore.spec.methods import KNOBS
from kdcore.training.stage import StageRun
from kdcore.training.trainer import Trainer
from tests.kdcore.tiny import FITNET, HARD, KD, events_of, make_folder, result_of, stage

EMA = {"decay": 0.7}
# What depends on the clock or on the number of attempts, not on the training.
OF_THE_CLOCK = ("latency_ms", "seconds", "resumes", "teacher_outputs", "sha256")
# Kind of place: the call it is, counted over one process's life; the kill comes just before it.
PLACES: dict[str, tuple[Any, str]] = {
    "step": (StageRun, "step"),
    "validation": (Trainer, "_validation_metric"),
    "checkpoint": (Trainer, "_save"),
    "fsync": (os, "fsync"),
    "rename": (Path, "rename"),
    "report": (kdcore.runs.distill, "report_student"),
    "export": (kdcore.runs.distill, "export_all"),
    "result": (kdcore.runs.distill, "make_result"),
}
Place = tuple[str, int]
FORTY: dict[str, Any] = {
    "stages": [
        stage(FITNET, epochs=3),
        stage(
            HARD,
            KD,
            epochs=7,
            start_from="best",
            ema=EMA,
            optimizer={"name": "adamw"},
            schedule={"name": "cosine", "warmup_epochs": 1},
        ),
    ],
}
WIDE = {"architecture": "resnet8", "options": {"width": 0.5}}
SPECS: dict[str, dict[str, Any]] = {
    "forty steps": FORTY,
    "forty steps, outputs kept": {
        "stages": [stage(HARD, KD, epochs=10)],
        "teacher_cache": {"views": 2},
        "baseline": False,
    },
    "bf16, accumulated, mixed": {
        "stages": [stage(HARD, KD, epochs=2, ema=EMA)],
        "precision": "bf16",
        "data": {
            "batch_size": 8,
            "accumulate": 2,
            "validation": 0.25,
            "augment": ["mixup", "crop"],
        },
    },
    "three stages": {
        "stages": [
            stage({"method": "ft", "part": "paraphraser"}),
            stage(HARD),
            stage(HARD, {"method": "ft", "weight": 0.1}),
        ],
        "baseline": False,
    },
    **{
        method: {
            "stages": [stage(HARD, {"method": method, "weight": 0.01}, epochs=2)],
            "baseline": False,
        }
        | ({"student": WIDE} if method == "fsp" else {})
        for method in KNOBS
    },
}


@dataclass(frozen=True)
class Left:
    """What a run leaves: a hash of every weight file, the result, every metric of every step."""

    weights: dict[str, str]
    result: Any
    metrics: dict[tuple[int, str], float]


def left_by(folder: Path, metrics_events: Sequence[dict[str, Any]]) -> Left:
    """What a successful run leaves; `metrics_events`: of all its attempts."""
    weights = {}
    for path in sorted((folder / "out").glob("*.safetensors")):
        tensors = load_file(path)
        data = b"".join(tensors[name].numpy().tobytes() for name in sorted(tensors))
        weights[path.name] = hashlib.sha256(data).hexdigest()
    metrics: dict[tuple[int, str], float] = {}
    for event in metrics_events:
        for name, value in event["values"].items():
            assert metrics.setdefault((event["step"], name), value) == value, (event, metrics)
    return Left(weights, _timeless(result_of(folder)), metrics)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in OF_THE_CLOCK}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


def lay_out(folder: Path, spec: dict[str, Any]) -> Path:
    """A run directory whose run makes a checkpoint after every step."""
    return make_folder(folder, checkpoint_every_s=0, **spec)


def attempt(folder: Path, place: Place | None, every: int = 1) -> tuple[int, list[dict[str, Any]]]:
    """Run one process; return its exit code, below 0 for a signal, and its metrics events.

    `every`: steps between checkpoints.
    """
    _warm_up()
    process = os.fork()
    if process == 0:
        code = 70
        try:
            code = _be_the_run(folder, place, every)
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), events_of(folder, "metrics")


@cache
def _warm_up() -> None:
    """Import everything once for all children: imports are half of a tiny run."""
    torch.set_num_threads(1)
    train_once()


def _be_the_run(folder: Path, place: Place | None, every: int) -> int:
    with (folder / "run.log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    calls: Counter[str] = Counter()
    for kind, (owner, name) in PLACES.items():
        setattr(owner, name, _watched(kind, getattr(owner, name), calls, place))
    setattr(Trainer, "_due", lambda self: self._state.position.step % every == 0)  # noqa: B010
    code = run(folder, StopFlag())
    (folder / "calls.json").write_text(json.dumps(calls))
    return code


def _watched(
    kind: str, call: Callable[..., Any], calls: Counter[str], place: Place | None
) -> Callable[..., Any]:
    def watched(*args: Any, **named: Any) -> Any:
        calls[kind] += 1
        if place == (kind, calls[kind]):
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **named)

    return watched


def control(folder: Path, spec: dict[str, Any]) -> tuple[Left, dict[str, int]]:
    """An undisturbed run: what it leaves, and how often it reached each kind of place."""
    code, events = attempt(lay_out(folder, spec), None)
    assert code == Exit.OK, (folder / "run.log").read_text()
    return left_by(folder, events), json.loads((folder / "calls.json").read_text())


def killed(folder: Path, spec: dict[str, Any], places: Sequence[Place], every: int = 1) -> Left:
    """A run that is killed at one place after another, and then left to finish."""
    shutil.rmtree(folder, ignore_errors=True)
    lay_out(folder, spec)
    events = []
    for place in places:
        code, more = attempt(folder, place, every)
        assert code == -signal.SIGKILL, (place, code, (folder / "run.log").read_text())
        events += more
    code, more = attempt(folder, None, every)
    assert code == Exit.OK, (places, (folder / "run.log").read_text())
    assert result_of(folder)["bit_exact"]
    return left_by(folder, events + more)


def _all_places(calls: dict[str, int], full: bool) -> Iterator[tuple[list[Place], int]]:
    """Every step, everything after the training, some of the writes to disk; and doubled kills."""
    kinds = PLACES if full else ("step", "report", "export")
    for kind in kinds:
        count = calls.get(kind, 0)
        stride = 1 if kind == "step" else max(1, count // 40)
        for number in range(1, count + 1, stride):
            yield [(kind, number)], 1
    for number in range(2, calls["step"] + 1, 5):
        yield [("step", number)], 3  # steps between the checkpoint and the kill are made again
        yield [("step", number), ("step", 1), ("step", 2)][: 2 + (number < calls["step"])], 1


def _main(names: Sequence[str]) -> int:
    wrong = 0
    for name in names or SPECS:
        spec, began_s = SPECS[name], time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            whole, calls = control(Path(folder) / "whole", spec)
            count = 0
            for places, every in _all_places(calls, full=name == "forty steps"):
                count += 1
                if killed(Path(folder) / "killed", spec, places, every) != whole:
                    wrong += 1
                    print(f"{name}: killed at {places}, every {every}: it ends differently")  # noqa: T201
        took_s = time.monotonic() - began_s
        print(f"{name}: {count} kills, {calls['step']} steps, {took_s:.0f} s", flush=True)  # noqa: T201
    print(f"{wrong} of them ended differently")  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
