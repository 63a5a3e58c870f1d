"""Trainings by several processes: `torchrun -m tests.kdcore.together OUT` does each of them and
saves what every process ends with; a test compares it with what one process ends with."""

import errno
import itertools
import pkgutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor, distributed, nn

from kdcore.__main__ import main
from kdcore.runtime.device import open_device
from kdcore.runtime.distributed import World, join
from kdcore.runtime.event_log import EventLog
from kdcore.runtime.signals import Interrupted, StopFlag
from kdcore.spec.methods import KNOBS
from kdcore.spec.names import ArmName
from kdcore.training.checkpoint import Checkpoints
from kdcore.training.data_parallel import share_snapshot
from kdcore.training.state import History, TrainingState
from kdcore.training.trainer import Trainer
from tests.kdcore.setups import Interrupter, Stages, make_setup, make_student
from tests.kdcore.tiny import FITNET, HARD, KD, events_of, stage

SLOW = {"name": "sgd", "learning_rate": 0.01}
WEIGHTS = {"overhaul": {"weight": 0.01}, "nst": {"weight": 0.01}, "at": {"weight": 0.01}}
TWO_STAGES: Stages = (
    stage(FITNET, epochs=2, optimizer=SLOW),
    stage(HARD, KD, epochs=2, optimizer=SLOW, start_from="best", ema={}),
)


class Shared(NamedTuple):
    """A training by several processes; without `affine`, the teacher's norms have no weights."""

    stages: Stages
    accumulate: int = 1
    affine: bool = True


TRAININGS: dict[str, Shared] = {
    "hard targets and kd": Shared((stage(HARD, KD, epochs=2, optimizer=SLOW),)),
    "fitnet first": Shared(TWO_STAGES),
    "accumulated": Shared((stage(HARD, {"method": "sp", "weight": 1}, optimizer=SLOW),), 2),
    "overhaul, margins measured": Shared(
        (stage(HARD, {"method": "overhaul", "weight": 0.01}, epochs=2, optimizer=SLOW),),
        affine=False,
    ),
    **{
        method: Shared(
            (stage({"method": method, **WEIGHTS.get(method, {})}, HARD, optimizer=SLOW),)
        )
        for method in KNOBS
        if method not in ("simkd", "fsp")  # these need another student
    },
}


def train_all(out: Path) -> None:
    """Do every training, and one that the last process interrupts and all resume."""
    torch.set_num_threads(1)
    world = join()
    out = out / str(world.rank)
    out.mkdir()
    for name, shared in TRAININGS.items():
        save(train(out / name, shared, world), out / f"{name}.safetensors")
    folder = out / "interrupted"
    after = 8 if world.rank == world.size - 1 else 10**6
    try:
        train(folder, Shared(TWO_STAGES), world, after)
    except Interrupted:
        save(train(folder, Shared(TWO_STAGES), world), out / "interrupted.safetensors")
    world.leave()


def train(folder: Path, shared: Shared, world: World, after: int = 0) -> dict[str, Tensor]:
    """The last and best weights of the student and its reported losses; from a checkpoint where
    the folder has one. `after`: the step after which this process is asked to stop; 0: never."""
    setup, stop = make_setup(shared.stages, shared.accumulate), StopFlag()
    for module in setup.shared.teachers[0].network.modules():
        if isinstance(module, nn.BatchNorm2d) and not shared.affine:
            module.weight = module.bias = None  # type: ignore[assignment]
    stop.single_process = world.size == 1
    device = open_device("cpu", "fp32", None, world)
    shared_setup = replace(setup.shared, world=world, device=device)
    setup = replace(setup, arms=setup.arms[:1], build_student=_student, shared=shared_setup)
    if after:
        setup = replace(setup, loader=Interrupter(setup.loader, stop, after))  # type: ignore[arg-type]
    folder.mkdir(exist_ok=True)
    checkpoints = Checkpoints(folder / "checkpoints", 3600) if world.primary else None
    events, state = (
        EventLog(folder / "events.jsonl"),
        TrainingState(History(machine=device.profile())),
    )
    trainer = Trainer(setup, state, events, checkpoints, stop)
    snapshot, _ = share_snapshot(world, lambda: checkpoints.load() if checkpoints else (None, []))
    if snapshot is not None:
        trainer.resume(snapshot)
    outcome = trainer.run()["student"]
    assert outcome.best is not None
    reported = [e["values"].get("student/loss") for e in events_of(folder, "metrics")]
    losses = torch.tensor([loss for loss in reported if loss is not None])
    best = {f"best/{k}": v for k, v in outcome.best.weights.items()}
    return {**outcome.last, **best, "losses": losses}


def fail(where: str, folder: Path) -> int:
    """A run whose last process finds the disk full at its third call of `where`."""
    calls = itertools.count(1)
    owner, name = where.rsplit(".", 1)
    module = pkgutil.resolve_name(owner)
    original = getattr(module, name)
    at = 1 if name == "prepare" else 3

    def failing(*arguments: object, **more: object) -> object:
        if distributed.get_rank() == 1 and next(calls) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments, **more)

    setattr(module, name, failing)
    return main(["run", str(folder)])


def save(tensors: dict[str, Tensor], path: Path) -> None:
    """Save tensors, made contiguous."""
    safetensors.torch.save_file({k: v.contiguous() for k, v in tensors.items()}, path)


def _student(arm: ArmName) -> nn.Module:
    """A student without dropout, which every process would draw differently."""
    student = make_student(arm)
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return student


if __name__ == "__main__":
    if sys.argv[1] == "fail":
        sys.exit(fail(sys.argv[2], Path(sys.argv[3])))
    train_all(Path(sys.argv[1]))
