"""Runs our side, `python -m kdcore run DIR` as in the service, timed by its own events."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.recipes import Spec, stage_lists
from bench.train.task import (
    BATCH,
    DATA_FILE,
    RECIPES,
    STUDENT,
    TEACHER,
    TEACHER_FILE,
    WARM,
    Speed,
    network,
)
from kdcore.spec.run import EVENTS_FILE, RESULT_FILE, SPEC_FILE, TEACHER_OUTPUTS_DIR

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class RunOptions:
    """The options of one run; `cache`: the spec's `teacher_cache`, None: no cache."""

    method: str
    images: int
    threads: int
    precision: str = "auto"
    epochs: int = 1
    seed: int = 0
    cache: Spec | None = None
    teacher: str = TEACHER
    student: str = STUDENT
    validation: float = 0.0

    def spec(self) -> Spec:
        """Build the run's spec."""
        recipe = RECIPES.get(self.method, self.method)
        spec: Spec = {
            "task": "distill",
            "student": {"architecture": self.student},
            "dataset": {"path": DATA_FILE, "format": "npz"},
            "stages": stage_lists(recipe, self.epochs),
            "data": {
                "batch_size": BATCH,
                "validation": self.validation,
                "train_limit": self.images,
            },
            "precision": self.precision,
            "threads": self.threads,
            "baseline": False,
            "export": ["safetensors"],
            "checkpoint_every_s": 3600,
            "seed": self.seed,
        }
        if recipe != "from scratch":
            described = network(self.teacher).model_dump(mode="json")
            spec["teachers"] = [{"network": described, "weights": TEACHER_FILE}]
        if self.cache is not None:
            spec["teacher_cache"] = self.cache
        return spec


def carry_out(options: RunOptions, folder: Path, inputs: Path, outputs: Path | None = None) -> Path:
    """Execute a run in a new `folder`, with the data and the teacher of `inputs`.

    Teacher outputs are kept in `outputs` (default: in `folder`). Raises RuntimeError with the run's
    last event.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in (DATA_FILE, TEACHER_FILE):
        (folder / name).symlink_to((inputs / name).resolve())
    if outputs is not None:
        outputs.mkdir(exist_ok=True)
        (folder / TEACHER_OUTPUTS_DIR).symlink_to(outputs.resolve())
    (folder / SPEC_FILE).write_text(json.dumps(options.spec(), indent=1))
    command = [sys.executable, "-m", "kdcore", "run", str(folder)]
    with (folder / "run.log").open("wb") as log:
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False)
    if done.returncode:
        last = (folder / EVENTS_FILE).read_text().splitlines()[-1]
        raise RuntimeError(f"{options.method} ended with {done.returncode}: {last}")
    return folder


def events_of(folder: Path) -> list[dict[str, Any]]:
    """All events of the run."""
    return [json.loads(line) for line in (folder / EVENTS_FILE).read_text().splitlines()]


def result_of(folder: Path) -> dict[str, Any]:
    """The run's result.json."""
    found: dict[str, Any] = json.loads((folder / RESULT_FILE).read_text())
    return found


def speed_of(folder: Path, first_step: int) -> Speed:
    """Compute the speed from the times of the run's progress events, from `first_step` to the last.

    Start-up, caching, the warm-up before `first_step`, and the end of the run are left out.
    """
    at: dict[int, float] = {}
    for event in events_of(folder):
        if event["kind"] == "progress" and event["step"] >= first_step:
            at.setdefault(event["step"], event["at"])
    if len(at) < 2:
        raise RuntimeError(f"{folder.name}: {len(at)} progress events; train more steps")
    (start, begin_s), (end, end_s) = min(at.items()), max(at.items())
    steps = end - start
    return Speed(BATCH * steps / (end_s - begin_s), 1e3 * (end_s - begin_s) / steps, steps)


def speed(options: RunOptions, folder: Path, inputs: Path) -> Speed:
    """Measure the speed of the last epoch; the first fills the cache if there is one."""
    carry_out(options, folder, inputs)
    per_epoch = options.images // BATCH
    return speed_of(folder, (options.epochs - 1) * per_epoch + WARM)
