"""Several batches in one optimizer step equal one large batch; steps are optimizer steps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdcore.__main__ import main
from kdcore.data.batches import Batch
from kdcore.objectives.base import MethodContext
from kdcore.objectives.objectives import Loss, mean_of
from kdcore.runtime.device import Device
from kdcore.runtime.signals import Interrupted, StopFlag
from kdcore.spec.codes import Exit
from kdcore.spec.recipe import Data, Stage
from kdcore.spec.run import Network
from kdcore.training.checkpoint import Checkpoints
from kdcore.training.stage import StageRun, StageSetup
from kdcore.training.teachers import Teacher
from tests.kdcore.setups import Stages, hash_of, interrupt, make_setup, make_trainer, resume
from tests.kdcore.tiny import CLASSES, HARD, KD, SIDE, Traps, events_of, make_folder, probe, stage

GENERATOR = torch.Generator().manual_seed(0)
IMAGES_BCHW = torch.rand(8, 1, SIDE, SIDE, generator=GENERATOR)
BATCH = Batch(torch.arange(8), IMAGES_BCHW, torch.arange(8) % CLASSES)


def _student() -> nn.Module:
    """A student without batch norm and randomness."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 5), nn.Tanh(), nn.Linear(5, CLASSES))


def _run(student: nn.Module, accumulate: int, **more: Any) -> StageRun:
    torch.manual_seed(1)
    network = Traps(6).eval().requires_grad_(False)
    setup = StageSetup(
        MethodContext(probe(student), (probe(network, "t"),), (1.0,)),
        (Teacher("t", Network(architecture="t", num_classes=CLASSES), network, nn.Identity()),),
        nn.Identity(),
        Device(torch.device("cpu"), "fp32"),
        accumulate,
    )
    return StageRun(setup, Stage.model_validate(stage(HARD, KD, **more)), student, 6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_it_is_one_large_batch(optimizer: str) -> None:
    results = []
    for accumulate in (1, 2, 4):
        student = _student()
        with _run(student, accumulate, optimizer={"name": optimizer}, ema={}) as run:
            run.train_mode()
            losses = [run.step(BATCH, n) for n in range(6)]
            average = run.tensors()["average/1.weight"].clone()
        terms = [torch.stack([v.total, *v.terms.values()]) for v in losses]
        results.append((*student.state_dict().values(), average, *terms))
    for other in results[1:]:
        for value, expected in zip(other, results[0], strict=True):
            torch.testing.assert_close(value, expected, rtol=2e-4, atol=1e-6)
    assert not torch.equal(results[0][0], _student().state_dict()["1.weight"])


@pytest.mark.parametrize("bad", [0, 7])
def test_one_batch_that_is_not_finite_masks_the_whole_step(bad: int) -> None:
    images_BCHW = IMAGES_BCHW.clone()
    images_BCHW[bad] = float("nan")
    student = _student()
    before = {k: v.clone() for k, v in student.state_dict().items()}
    with _run(student, 4) as run:
        run.train_mode()
        run.step(replace(BATCH, images_BCHW=images_BCHW), 0)
        assert run.guard.first_bad() == 0
        run.step(BATCH, 1)
    assert all(torch.equal(v, before[k]) for k, v in student.state_dict().items())


def test_the_loss_is_the_mean_of_the_batches() -> None:
    losses = [Loss(torch.tensor(t), {"kd": torch.tensor(t * 10)}) for t in (1.0, 2.0)]
    assert mean_of(losses) == Loss(torch.tensor(1.5), {"kd": torch.tensor(15.0)})
    assert mean_of(losses[:1]) is losses[0]


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "samples", "expected"),
    [(8, 1, 100, (8, 1)), (8, 4, 100, (8, 4)), (8, 4, 30, (8, 3)), (8, 4, 5, (5, 1))],
)
def test_a_step_has_at_most_all_samples(
    batch_size: int, accumulate: int, samples: int, expected: tuple[int, int]
) -> None:
    data = Data(batch_size=batch_size, accumulate=accumulate)
    assert data.per_step(samples) == expected


STAGES: Stages = (stage(HARD, {"method": "crd", "negatives": 5}, {"method": "rkd"}, epochs=3),)


def test_interrupted_between_its_steps_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    """Methods with memories see one batch at a time."""
    control = hash_of(make_trainer(tmp_path / "control", make_setup(STAGES, 2))[0].run())
    snapshot = interrupt(tmp_path / "run", 4, STAGES, 2)
    assert snapshot.facts["position"] == {"arm": "student", "stage": 0, "epoch": 1, "step": 1}
    assert resume(tmp_path / "run", snapshot, STAGES, 2) == control
    assert resume(tmp_path / "run", snapshot, STAGES, 1) != control


def test_a_stop_within_a_step_waits_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = hash_of(make_trainer(tmp_path / "control", make_setup(STAGES, 2))[0].run())
    stop, accumulate, sizes = StopFlag(), StageRun._accumulate, list[int]()

    def request(self: StageRun, batch: Batch, progress: float) -> Loss:
        sizes.append(len(batch.index_B))
        stop.requested |= len(sizes) == 7  # the first micro-batch of the fourth step
        return accumulate(self, batch, progress)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(StageRun, "_accumulate", request)
        make_trainer(tmp_path / "run", make_setup(STAGES, 2), stop)[0].run()
    assert len(sizes) == 8
    snapshot, _ = Checkpoints(tmp_path / "run" / "checkpoints").load()
    assert snapshot is not None and snapshot.facts["position"]["step"] == 1
    assert resume(tmp_path / "run", snapshot, STAGES, 2) == control


def test_progress_counts_optimizer_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdcore.runtime.signals.StopFlag.listen", lambda _self: None)
    data = {"batch_size": 4, "accumulate": 3, "validation": 0.25, "augment": []}
    folder = make_folder(tmp_path, data=data, stages=[stage(HARD, KD, epochs=2)], baseline=False)
    assert main(["run", str(folder)]) == Exit.OK, events_of(folder)[-1]
    assert events_of(folder, "progress")[-1]["steps"] == 2 * (36 // 12)
    assert events_of(folder, "metrics")[-1]["step"] == 6
