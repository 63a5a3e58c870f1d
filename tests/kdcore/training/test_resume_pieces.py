"""Every piece of a checkpoint matters: a run resumed without it ends with other weights or metrics.
A piece without effect should not be there; one that is not in the list is noticed."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kdcore.training.checkpoint import Snapshot
from tests.kdcore.recording import Case, End, Frame, record, resume
from tests.kdcore.tiny import CLASSES, FITNET, HARD, KD, stage

EMA = {"decay": 0.7}
RICH = Case(
    (
        stage({"method": "ft", "part": "paraphraser"}),
        stage(HARD, FITNET, epochs=2, ema=EMA),
        stage(
            HARD,
            KD,
            {"method": "ft", "weight": 0.1},
            epochs=2,
            ema=EMA,
            start_from="best",
            optimizer={"name": "adamw"},
            schedule={"name": "cosine", "warmup_epochs": 1},
        ),
    ),
    accumulate=2,
    augment=("crop",),
    baseline=True,
)
# The history of a run decides no bit; see test_trainer.py, test_distill.py and test_run.py.
OF_THE_RUN = {"history"}
# The gradient scaler is for fp16, which CPUs do not train in, so its facts are empty here.
EMPTY = {"stage"}

Tensors = dict[str, torch.Tensor]
Facts = dict[str, Any]
Damage = Callable[[Tensors, Facts], bool]


def _tensors(*fragments: str) -> Damage:
    """Zero the tensors with all of these in their names."""

    def damage(tensors: Tensors, _: Facts) -> bool:
        found = [k for k in tensors if all(fragment in k for fragment in fragments)]
        for key in found:
            tensors[key] = torch.zeros_like(tensors[key])
        return any(tensors[k].numel() for k in found)

    return damage


def _facts(*path: str, value: Any) -> Damage:
    """Put another value there."""

    def damage(_: Tensors, facts: Facts) -> bool:
        here = facts
        for name in path[:-1]:
            here = here.get(name) or {}
        if path[-1] not in here or here[path[-1]] == value:
            return False
        here[path[-1]] = value
        return True

    return damage


def _torchs_generator(tensors: Tensors, _: Facts) -> bool:
    tensors["random/cpu"] = torch.Generator().manual_seed(5).get_state()
    return True


def _pythons_generator(_: Tensors, facts: Facts) -> bool:
    facts["random"]["python"][1][:-1] = range(1, 625)
    return True


def _numpys_generator(_: Tensors, facts: Facts) -> bool:
    facts["random"]["numpy"][1] = list(range(1, 625))
    return True


# Each with the names of the tensors, or the path of the fact, that it is.
PIECES: dict[str, Damage] = {
    "student/conv": _tensors("student/conv"),
    "student/head": _tensors("student/head"),
    "student/bn": _tensors("student/bn"),
    "student/bn statistics": _tensors("student/bn", "running"),
    "student/count": _tensors("student/bn", "num_batches"),
    "stage/method": _tensors("stage/method"),
    "stage/optimizer momentum": _tensors("stage/optimizer", "momentum_buffer"),
    "stage/optimizer moment 1": _tensors("stage/optimizer", "exp_avg"),
    "stage/optimizer moment 2": _tensors("stage/optimizer", "exp_avg_sq"),
    "stage/optimizer step": _tensors("stage/optimizer", "/step"),
    "stage/optimizer of methods": _tensors("stage/optimizer/method"),
    "stage/average": _tensors("stage/average"),
    "previous": _tensors("previous."),
    "best weights": _tensors("best/"),
    "student.last": _tensors("student.last/"),
    "student.best": _tensors("student.best/"),
    "baseline.last": _tensors("baseline.last/"),
    "baseline.best": _tensors("baseline.best/"),
    "meter/sum": _tensors("meter/sum"),
    "meter count": _facts("meter", "count", value=7),
    "random/cpu": _torchs_generator,
    "random python": _pythons_generator,
    "random numpy": _numpys_generator,
    "position stage": _facts("position", "stage", value=0),
    "position epoch": _facts("position", "epoch", value=0),
    "position step": _facts("position", "step", value=0),
    "position arm": _facts("position", "arm", value="student"),
    "best": _facts("best", value=None),
    "best score": _facts("best", "score", value=2.0),
    "best epoch": _facts("best", "epoch", value=99),
    "finished": _facts("finished", value={}),
}


@dataclass(frozen=True)
class Whole:
    """A training with everything in it, every step of it."""

    frames: list[Frame]
    end: End

    def after(self, number: int) -> End:
        """What comes after a frame; test_resume_steps.py shows that a resumed run gives it."""
        before = sum(len(frame.metrics) for frame in self.frames[: number + 1])
        return End(self.end.weights, self.end.metrics[before:])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Recorded once."""
    return Whole(*record(tmp_path_factory.mktemp("whole"), RICH))


def _damaged(frame: Frame, damage: Damage) -> Frame | None:
    tensors, facts = dict(frame.snapshot.tensors), copy.deepcopy(dict(frame.snapshot.facts))
    if not damage(tensors, facts):
        return None
    return replace(frame, snapshot=Snapshot(tensors, facts))


def _end(folder: Path, case: Case, frame: Frame) -> End | str:
    try:
        return resume(folder, case, frame)
    except (RuntimeError, KeyError, ValueError, AssertionError) as error:
        return f"noticed: {type(error).__name__}"


@pytest.mark.parametrize("piece", PIECES)
def test_no_piece_can_be_left_out(whole: Whole, tmp_path: Path, piece: str) -> None:
    """Some step needs it; searched from the middle of the frames that have it outwards."""
    without = [_damaged(frame, PIECES[piece]) for frame in whole.frames]
    having = [number for number, frame in enumerate(without) if frame is not None]
    assert having, "no checkpoint has this piece"
    middle = len(having) // 2
    for number in having[middle:] + having[:middle][::-1]:
        damaged = without[number]
        assert damaged is not None
        if _end(tmp_path, RICH, damaged) != whole.after(number):
            return
    raise AssertionError("no step needs it: it has no effect, or this test is too weak")


def test_teacher_outputs_on_disk_are_part_of_the_state(tmp_path: Path) -> None:
    """With other outputs the student learns something else. Missing ones are computed again, in
    other batches; half precision hides how that changes sums."""
    case = Case((stage(HARD, KD, epochs=5),), augment=("crop",), views=2, samples=22)
    whole = Whole(*record(tmp_path / "whole", case))
    number = next(
        n for n, f in enumerate(whole.frames) if f.snapshot.facts["position"]["epoch"] == 2
    )
    frame = whole.frames[number]
    assert len(frame.outputs) == 1 and _end(tmp_path / "same", case, frame) == whole.after(number)
    ((name, data),) = frame.outputs.items()
    start = 8 + int.from_bytes(data[:8], "little")
    values = 2 * 30 * CLASSES * 2  # views, samples, features, bytes
    wrong = data[:start] + bytes(values) + data[start + values :]
    other = _end(tmp_path / "other", case, replace(frame, outputs={name: wrong}))
    assert other != whole.after(number)
    gone = _end(tmp_path / "gone", case, replace(frame, outputs={}))
    assert gone == whole.after(number)


def test_every_piece_is_in_the_list(whole: Whole) -> None:
    """What is added to a checkpoint must be added above."""
    some = whole.frames[::4] + whole.frames[-2:]
    paths = {
        f"{name} {inner}"
        for frame in some
        for name, value in frame.snapshot.facts.items()
        if name not in OF_THE_RUN | EMPTY | {"finished"}
        for inner in value or ()
    }
    assert paths <= PIECES.keys()
    missed = {name for frame in some for name in frame.snapshot.tensors}
    for frame in some:
        before = frame.snapshot.tensors
        missed -= {name for name, value in before.items() if not value.any()}
        for damage in PIECES.values():
            after = _damaged(frame, damage)
            left = before if after is None else after.snapshot.tensors
            missed -= {name for name in left if left[name] is not before[name]}
    assert not missed
