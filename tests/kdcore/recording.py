"""Records a training at every step, and resumes it from any place of the recording.

What a new process writes as its next checkpoint after checkpoint k must be, bit for bit, checkpoint
k + 1 of the recording, with the same metrics in between. If that holds for every k, a run killed
after any steps ends as if nothing had happened; and testing it takes one step per checkpoint, not
half a training.
"""

import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from kdcore.data.batches import Loader
from kdcore.runtime.device import open_device
from kdcore.runtime.event_log import EventLog
from kdcore.runtime.signals import StopFlag
from kdcore.spec.recipe import Data, Precision
from kdcore.teacher_cache.output_cache import TeacherOutputCache
from kdcore.training.checkpoint import Checkpoints, Snapshot
from kdcore.training.state import History, Outcome, TrainingState
from kdcore.training.trainer import Trainer, TrainingSetup
from tests.kdcore.setups import Stages, hash_of, make_setup

OUTPUTS = "teacher_outputs"
Metrics = list[tuple[int, dict[str, float]]]
"""By step, in the order in which they were written."""


@dataclass(frozen=True)
class Case:
    """What is trained: the student, and perhaps a baseline.

    `views`: views per image of which teacher outputs are cached; None: no cache.
    """

    stages: Stages
    accumulate: int = 1
    precision: Precision = "fp32"
    augment: tuple[Any, ...] = ()
    views: int | None = None
    teacher_channels: int = 6
    samples: int = 24
    baseline: bool = False


@dataclass(frozen=True)
class Frame:
    """A checkpoint, the metrics since the one before, and the teacher outputs on disk."""

    snapshot: Snapshot
    metrics: Metrics
    outputs: dict[str, bytes]


@dataclass(frozen=True)
class End:
    """The outcome of a training: a hash of all weights, and its metrics."""

    weights: str
    metrics: Metrics


class Enough(BaseException):
    """The last checkpoint that is needed has been made."""


class Recording(Checkpoints):
    """Keeps checkpoints in memory; `stop_after`: ends the training after that many."""

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        self.frames: list[Frame] = []
        self._run, self._stop_after = folder, stop_after
        self._lines = 0

    def due(self) -> bool:
        """Always: a checkpoint after every step."""
        return True

    def save(self, snapshot: Snapshot) -> Path:
        """Keep a copy, as it would be read back from disk."""
        tensors = {k: t.detach().clone().contiguous() for k, t in snapshot.tensors.items()}
        kept = Snapshot(tensors, json.loads(json.dumps(snapshot.facts)))
        files = {p.name: p.read_bytes() for p in sorted((self._run / OUTPUTS).glob("*"))}
        self.frames.append(Frame(kept, self.new_metrics(), files))
        if len(self.frames) == self._stop_after:
            raise Enough
        return Path("checkpoints/kept")

    def new_metrics(self) -> Metrics:
        """The metrics since the last call."""
        lines = (self._run / "events.jsonl").read_text().splitlines()
        new = [json.loads(line) for line in lines[self._lines :]]
        self._lines = len(lines)
        return [(e["step"], e["values"]) for e in new if e["kind"] == "metrics"]

    def all_metrics(self) -> Metrics:
        """The metrics of all frames, and since the last."""
        return [m for frame in self.frames for m in frame.metrics] + self.new_metrics()


def record(folder: Path, case: Case) -> tuple[list[Frame], End]:
    """Record a whole training."""
    recording = Recording(_fresh(folder))
    outcomes = _trainer(folder, case, recording).run()
    return recording.frames, End(hash_of(outcomes), recording.all_metrics())


def resume(folder: Path, case: Case, frame: Frame) -> End:
    """Resume a training from a frame, to the end."""
    recording = _recording_at(folder, frame)
    outcomes: dict[Any, Outcome] = _resumed(folder, case, frame, recording).run()
    return End(hash_of(outcomes), recording.all_metrics())


def next_frame(folder: Path, case: Case, frame: Frame) -> Frame:
    """Resume a training from a frame, to its next checkpoint."""
    recording = _recording_at(folder, frame, 1)
    try:
        _resumed(folder, case, frame, recording).run()
    except Enough:
        return recording.frames[0]
    raise AssertionError("it ended without another checkpoint")


def wrong_resumes(folder: Path, case: Case, frames: list[Frame]) -> Iterator[str]:
    """Frames from which a resumed training differs from the recording, and in what."""
    for number, (frame, following) in enumerate(pairwise(frames)):
        got = next_frame(folder, case, frame)
        differ = [*_differences(got.snapshot, following.snapshot)]
        differ += ["metrics"] * (got.metrics != following.metrics)
        differ += ["teacher outputs"] * (got.outputs != following.outputs)
        if differ:
            yield f"after frame {number} {frame.snapshot.facts['position']}: {differ}"


def _differences(one: Snapshot, other: Snapshot) -> Iterator[str]:
    for name in sorted({*one.tensors, *other.tensors}):
        a, b = one.tensors.get(name), other.tensors.get(name)
        if a is None or b is None or a.dtype != b.dtype or not torch.equal(a, b):
            yield name
    for name in sorted({*one.facts, *other.facts} - {"history"}):
        if one.facts.get(name) != other.facts.get(name):
            yield name


def _trainer(folder: Path, case: Case, recording: Recording) -> Trainer:
    setup = make_setup_of(folder, case)
    state = TrainingState(History(machine=setup.shared.device.profile()))
    return Trainer(setup, state, EventLog(folder / "events.jsonl"), recording, StopFlag())


def _resumed(folder: Path, case: Case, frame: Frame, recording: Recording) -> Trainer:
    torch.manual_seed(99)  # whatever the generators hold in a new process
    trainer = _trainer(folder, case, recording)
    # A copy: an optimizer counts its steps in the tensor that it is given.
    trainer.resume(copy.deepcopy(frame.snapshot))
    return trainer


def make_setup_of(folder: Path, case: Case) -> TrainingSetup:
    """A case's setup, created anew as in a new process."""
    setup = make_setup(case.stages, case.accumulate, case.teacher_channels)
    data = Data.model_validate({"batch_size": 8, "augment": list(case.augment)})
    indices = torch.arange(case.samples)
    device = open_device("cpu", case.precision, None)
    output_cache = None
    if case.views is not None:
        output_cache = TeacherOutputCache(
            folder / OUTPUTS, {"of": "a test"}, 30, case.views, 1 << 20
        )
    return replace(
        setup,
        arms=setup.arms if case.baseline else setup.arms[:1],
        loader=Loader(setup.loader._pixels, indices, data, 3, device.torch, case.views),
        shared=replace(setup.shared, device=device, output_cache=output_cache),
    )


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / OUTPUTS).mkdir(parents=True)
    (folder / "events.jsonl").touch()
    return folder


def _recording_at(folder: Path, frame: Frame, stop_after: int | None = None) -> Recording:
    _fresh(folder)
    for name, data in frame.outputs.items():
        (folder / OUTPUTS / name).write_bytes(data)
    return Recording(folder, stop_after)
