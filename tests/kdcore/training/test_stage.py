"""A stage: modes, half precision, schedules, and what a step changes."""

from typing import Any

import pytest
import torch
from torch import nn

from kdcore.data.batches import Batch
from kdcore.objectives.base import MethodContext
from kdcore.runtime.device import Device, Resolved
from kdcore.runtime.named_tensors import within
from kdcore.spec.recipe import Stage
from kdcore.spec.run import Network
from kdcore.training.stage import StageRun, StageSetup
from kdcore.training.teachers import Teacher
from tests.kdcore.tiny import CLASSES, FITNET, HARD, KD, SIDE, Traps, probe, stage

GENERATOR = torch.Generator().manual_seed(0)
BATCH = Batch(
    torch.arange(8), torch.rand(8, 1, SIDE, SIDE, generator=GENERATOR), torch.arange(8) % CLASSES
)


def _run(
    student: nn.Module, *objectives: Any, precision: Resolved = "fp32", **more: Any
) -> StageRun:
    torch.manual_seed(1)
    network = Traps(6).eval().requires_grad_(False)
    spec = Network(architecture="traps", num_classes=CLASSES)
    setup = StageSetup(
        MethodContext(probe(student), (probe(network, "t"),), (1.0,)),
        (Teacher("t", spec, network, nn.Identity()),),
        nn.Identity(),
        Device(torch.device("cpu"), precision),
    )
    return StageRun(setup, Stage.model_validate(stage(*objectives, epochs=2, **more)), student, 5)


def _student() -> Traps:
    torch.manual_seed(0)
    return Traps()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_steps_lower_the_loss_and_weights_stay_float32(precision: Resolved) -> None:
    student = _student()
    with _run(student, HARD, KD, FITNET, precision=precision) as run:
        run.train_mode()
        losses = [run.step(BATCH, n).total.item() for n in range(10)]
    assert losses[-1] < losses[0] * 0.9
    assert all(p.dtype is torch.float32 for p in student.parameters())


def test_a_method_learns_with_the_student_and_its_state_is_the_stages() -> None:
    with _run(_student(), FITNET) as run:
        run.train_mode()
        before = {k: v.clone() for k, v in within("method", run.tensors()).items()}
        run.step(BATCH, 0)
        after = within("method", run.tensors())
        assert before and all(not torch.equal(v, before[k]) for k, v in after.items())
        assert any(k.startswith("optimizer/method.") for k in run.tensors())


def test_hooks_go_with_the_stage() -> None:
    student = _student()
    with _run(student, FITNET):
        assert any(m._forward_hooks for m in student.modules())
    assert not any(m._forward_hooks for m in student.modules())


def test_rate_follows_the_schedule_over_all_epochs() -> None:
    schedule = {"name": "multistep", "milestones": [0.5], "warmup_epochs": 0.4}
    with _run(_student(), HARD, schedule=schedule) as run:
        assert run.steps == 10
        assert [run.rate(n) for n in (0, 1, 4, 5)] == pytest.approx([0.025, 0.05, 0.05, 0.005])


def test_validation_loss_is_the_mean_and_changes_nothing() -> None:
    student = _student()
    before = {k: v.clone() for k, v in student.state_dict().items()}
    with _run(student, FITNET) as run:
        once, twice = run.validation_loss([BATCH]), run.validation_loss([BATCH, BATCH])
    assert once == pytest.approx(twice) and once > 0
    assert all(torch.equal(v, before[k]) for k, v in student.state_dict().items())


def test_a_loss_that_is_not_finite_makes_no_step() -> None:
    student = _student()
    with _run(student, {**HARD, "weight": 1e39}) as run:
        run.train_mode()
        before = {k: v.clone() for k, v in student.named_parameters()}
        run.step(BATCH, 0)
        assert run.guard.first_bad() == 0
    assert all(torch.equal(v, before[k]) for k, v in student.named_parameters())
