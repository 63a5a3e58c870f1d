"""A whole course on a tiny network, interrupted after so many steps and gone on with."""

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
from kdcore.runtime.signals import Interrupted, Stop
from kdcore.spec.names import ArmName
from kdcore.spec.recipe import Data, Stage
from kdcore.spec.run import Input, Network
from kdcore.training.arms import Arm
from kdcore.training.checkpoint import Checkpoints, Snapshot
from kdcore.training.evaluate import EvalSet
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
    """Stops the run after so many steps, counted over its whole life."""

    loader: Loader
    stop: Stop
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
                self.stop.asked = True
            yield batch


def make_student(arm: ArmName = "student") -> nn.Module:
    torch.manual_seed(7)
    return Traps(chance=True)


def make_setup(
    student_stages: Stages = TWO_STAGES, accumulate: int = 1, teacher_channels: int = 6
) -> TrainingSetup:
    """Of three steps an epoch, each of 8 images in so many batches."""
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
        student=make_student,
        adapter=nn.Identity(),
        teachers=(teacher,),
        context=MethodContext(
            probe(student),
            (probe(network, "t"),),
            (1.0,),
            batch_size=8 // accumulate,
            training_N=torch.arange(24),
            labels_N=split.labels_N,
        ),
        loader=Loader(split, torch.arange(24), Data(batch_size=8), 3, device.torch),
        eval_set=EvalSet(split, torch.arange(24, 30), 6, device.torch),
        device=device,
        seed=3,
        accumulate=accumulate,
    )


def make_trainer(
    folder: Path, setup: TrainingSetup, stop: Stop | None = None, every_s: float = 3600
) -> tuple[Trainer, Checkpoints]:
    folder.mkdir(exist_ok=True)
    events, checkpoints = EventLog(folder / "events.jsonl"), Checkpoints(folder / "checkpoints")
    state = TrainingState(History(machine=setup.device.profile()))
    return Trainer(setup, state, events, checkpoints, every_s, stop or Stop()), checkpoints


def hash_of(outcomes: dict[Any, Outcome]) -> str:
    """Of the last and best weights of all arms."""
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
    """A run that is stopped after `after` steps; what its newest checkpoint holds."""
    setup, stop = make_setup(stages, accumulate), Stop()
    broken = replace(setup, loader=Interrupter(setup.loader, stop, after))  # type: ignore[arg-type]
    trainer, _ = make_trainer(folder, broken, stop)
    with pytest.raises(Interrupted):
        trainer.run()
    snapshot, complaints = Checkpoints(folder / "checkpoints").load()
    assert snapshot is not None and not complaints
    return snapshot


def go_on(
    folder: Path, snapshot: Snapshot, stages: Stages = TWO_STAGES, accumulate: int = 1
) -> str:
    """The hash of the run that goes on from a snapshot."""
    torch.manual_seed(99)  # whatever the generators hold in a new process
    trainer, _ = make_trainer(folder, make_setup(stages, accumulate))
    trainer.resume(snapshot)
    return hash_of(trainer.run())
