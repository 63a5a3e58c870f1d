"""A training that is recorded at every step, and gone on with from any place of the recording.

What a new process does from checkpoint k up to its next checkpoint must be, bit for bit, what the
recording has as checkpoint k + 1, with the same metrics said on the way. Where that holds for every
k, a run killed after any step, any number of times, ends as if nothing had happened; and it takes
one step a checkpoint to see it, not half a training.
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
from kdcore.runtime.signals import Stop
from kdcore.spec.recipe import Data, Precision
from kdcore.teacher_cache.output_cache import TeacherOutputCache
from kdcore.training.checkpoint import Checkpoints, Snapshot
from kdcore.training.state import History, Outcome, TrainingState
from kdcore.training.trainer import Trainer, TrainingSetup
from tests.kdcore.setups import Stages, hash_of, make_setup

OUTPUTS = "teacher_outputs"
Said = list[tuple[int, dict[str, float]]]


@dataclass(frozen=True)
class Case:
    """What is trained: the student, and a baseline if asked for. `views`: teacher outputs are kept,
    of so many looks of an image."""

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
    """A checkpoint, the metrics said since the one before, and the teacher outputs on disk."""

    snapshot: Snapshot
    said: Said
    outputs: dict[str, bytes]


@dataclass(frozen=True)
class End:
    """What a training leaves: a hash of all weights, and the metrics it said."""

    weights: str
    said: Said


class Enough(BaseException):
    """The checkpoint that was waited for is there."""


class Tape(Checkpoints):
    """Keeps checkpoints in memory; stops the training after so many."""

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        self.frames: list[Frame] = []
        self._run, self._stop_after = folder, stop_after
        self._lines = 0

    def save(self, snapshot: Snapshot) -> Path:
        """A copy, as it comes back from disk."""
        tensors = {k: t.detach().clone().contiguous() for k, t in snapshot.tensors.items()}
        kept = Snapshot(tensors, json.loads(json.dumps(snapshot.facts)))
        files = {p.name: p.read_bytes() for p in sorted((self._run / OUTPUTS).glob("*"))}
        self.frames.append(Frame(kept, self.said(), files))
        if len(self.frames) == self._stop_after:
            raise Enough
        return Path("checkpoints/kept")

    def said(self) -> Said:
        """The metrics since this was last asked."""
        lines = (self._run / "events.jsonl").read_text().splitlines()
        new = [json.loads(line) for line in lines[self._lines :]]
        self._lines = len(lines)
        return [(e["step"], e["values"]) for e in new if e["kind"] == "metrics"]


def record(folder: Path, case: Case) -> tuple[list[Frame], End]:
    """A training that nobody stops."""
    tape = Tape(_fresh(folder))
    outcomes = _trainer(folder, case, tape).run()
    said = [line for frame in tape.frames for line in frame.said] + tape.said()
    return tape.frames, End(hash_of(outcomes), said)


def go_on(folder: Path, case: Case, frame: Frame) -> End:
    """A new training from a frame to the end."""
    tape = _tape_at(folder, frame)
    outcomes: dict[Any, Outcome] = _resumed(folder, case, frame, tape).run()
    return End(hash_of(outcomes), [line for f in tape.frames for line in f.said] + tape.said())


def next_frame(folder: Path, case: Case, frame: Frame) -> Frame:
    """A new training from a frame to its next checkpoint."""
    tape = _tape_at(folder, frame, 1)
    try:
        _resumed(folder, case, frame, tape).run()
    except Enough:
        return tape.frames[0]
    raise AssertionError("it ended without another checkpoint")


def broken_links(folder: Path, case: Case, frames: list[Frame]) -> Iterator[str]:
    """Where a new process goes on otherwise than the recording: the frame, and what differs."""
    for number, (frame, following) in enumerate(pairwise(frames)):
        got = next_frame(folder, case, frame)
        differ = [*_differences(got.snapshot, following.snapshot)]
        differ += ["metrics"] * (got.said != following.said)
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


def _trainer(folder: Path, case: Case, tape: Tape) -> Trainer:
    setup = make_course_of(folder, case)
    state = TrainingState(History(machine=setup.device.profile()))
    return Trainer(setup, state, EventLog(folder / "events.jsonl"), tape, 0, Stop())


def _resumed(folder: Path, case: Case, frame: Frame, tape: Tape) -> Trainer:
    torch.manual_seed(99)  # whatever the generators hold in a new process
    trainer = _trainer(folder, case, tape)
    # A copy: an optimizer counts its steps in the tensor that it is given.
    trainer.resume(copy.deepcopy(frame.snapshot))
    return trainer


def make_course_of(folder: Path, case: Case) -> TrainingSetup:
    """A case's course; everything in it is made anew, as in a new process."""
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
        device=device,
        output_cache=output_cache,
    )


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / OUTPUTS).mkdir(parents=True)
    (folder / "events.jsonl").touch()
    return folder


def _tape_at(folder: Path, frame: Frame, stop_after: int | None = None) -> Tape:
    _fresh(folder)
    for name, data in frame.outputs.items():
        (folder / OUTPUTS / name).write_bytes(data)
    return Tape(folder, stop_after)
