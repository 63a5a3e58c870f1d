"""A whole training of a tiny network, interrupted after some steps and resumed."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdcore.data.batches import Batch, Loader
from kdcore.data.images import Split
from kdcore.objectives.base import MethodContext
from kdcore.runtime.device import open_device
from kdcore.runtime.event_log import EventLog
from kdcore.runtime.signals import Interrupted, StopFlag
from kdcore.spec.names import ArmName
from kdcore.spec.recipe import Data, Stage
from kdcore.spec.run import Input, Network
from kdcore.training.arms import Arm
from kdcore.training.checkpoint import Checkpoints, Snapshot
from kdcore.training.evaluate import EvalSet
from kdcore.training.stage import StageSetup
from kdcore.training.state import History, Outcome, TrainingState
from kdcore.training.teachers import Teacher
from kdcore.training.trainer import Trainer, TrainingSetup
from tests.kdcore.tiny import CLASSES, FITNET, HARD, KD, SIDE, Traps, probe, stage

Stages = tuple[dict[str, Any], ...]

TWO_STAGES = (
    stage(FITNET, epochs=2, start_from="last"),
    stage(
        HARD,
        {**KD, "weight": 4, "weight_end": 1},
        epochs=3,
        start_from="best",
        optimizer={"name": "adamw"},
        schedule={"name": "cosine", "warmup_epochs": 1},
    ),
)
SCRATCH = (stage(HARD, epochs=2),)


@dataclass
class Interrupter:
    """Stops the run after this many steps, counted over its whole life."""

    loader: Loader
    stop: StopFlag
    after: int

    @property
    def steps_per_epoch(self) -> int:
        return self.loader.steps_per_epoch

    @property
    def batch_size(self) -> int:
        return self.loader.batch_size

    def batches(self, stage: int, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        for batch in self.loader.batches(stage, epoch, start_step):
            self.after -= 1
            if self.after == 0:
                self.stop.requested = True
            yield batch


def make_student(arm: ArmName = "student") -> nn.Module:
    torch.manual_seed(7)
    return Traps(chance=True)


def make_setup(
    student_stages: Stages = TWO_STAGES, accumulate: int = 1, teacher_channels: int = 6
) -> TrainingSetup:
    """A run of three steps per epoch, each of 8 images in `accumulate` batches."""
    generator = torch.Generator().manual_seed(0)
    images_NCHW = torch.randint(0, 256, (30, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    split = Split(images_NCHW, torch.arange(30) % CLASSES)
    torch.manual_seed(1)
    network = Traps(teacher_channels).eval().requires_grad_(False)
    spec = Network(architecture="traps", num_classes=CLASSES, input=Input(channels=1))
    teacher = Teacher("t", spec, network, nn.Identity())
    student = make_student()
    device = open_device("cpu", "fp32", None)
    return TrainingSetup(
        arms=(
            Arm("student", tuple(Stage.model_validate(s) for s in student_stages)),
            Arm("baseline", tuple(Stage.model_validate(s) for s in SCRATCH)),
        ),
        build_student=make_student,
        shared=StageSetup(
            MethodContext(
                probe(student),
                (probe(network, "t"),),
                (1.0,),
                batch_size=8 // accumulate,
                training_N=torch.arange(24),
                labels_N=split.labels_N,
            ),
            (teacher,),
            nn.Identity(),
            device,
            accumulate,
        ),
        loader=Loader(split, torch.arange(24), Data(batch_size=8), 3, device.torch),
        validation_set=EvalSet(split, torch.arange(24, 30), 6, device.torch),
        seed=3,
    )


def make_trainer(
    folder: Path, setup: TrainingSetup, stop: StopFlag | None = None, every_s: float = 3600
) -> tuple[Trainer, Checkpoints]:
    folder.mkdir(exist_ok=True)
    events = EventLog(folder / "events.jsonl")
    checkpoints = Checkpoints(folder / "checkpoints", every_s)
    state = TrainingState(History(machine=setup.shared.device.profile()))
    return Trainer(setup, state, events, checkpoints, stop or StopFlag()), checkpoints


def hash_of(outcomes: dict[Any, Outcome]) -> str:
    """Hash the last and best weights of all arms."""
    digest = hashlib.sha256()
    for name in sorted(outcomes):
        outcome = outcomes[name]
        assert outcome.best is not None
        digest.update(f"{name} {outcome.best.epoch} {outcome.best.score}".encode())
        for weights in (outcome.last, outcome.best.weights):
            for key in sorted(weights):
                digest.update(weights[key].numpy().tobytes())
    return digest.hexdigest()


def interrupt(
    folder: Path, after: int, stages: Stages = TWO_STAGES, accumulate: int = 1
) -> Snapshot:
    """Stop a run after `after` steps, and return its newest checkpoint."""
    setup, stop = make_setup(stages, accumulate), StopFlag()
    broken = replace(setup, loader=Interrupter(setup.loader, stop, after))  # type: ignore[arg-type]
    trainer, _ = make_trainer(folder, broken, stop)
    with pytest.raises(Interrupted):
        trainer.run()
    snapshot, warnings = Checkpoints(folder / "checkpoints").load()
    assert snapshot is not None and not warnings
    return snapshot


def resume(
    folder: Path, snapshot: Snapshot, stages: Stages = TWO_STAGES, accumulate: int = 1
) -> str:
    """Resume a run from a snapshot, and return its hash."""
    torch.manual_seed(99)  # whatever the generators hold in a new process
    trainer, _ = make_trainer(folder, make_setup(stages, accumulate))
    trainer.resume(snapshot)
    return hash_of(trainer.run())
