"""Training: interrupted at any step it ends with the same bits; its events and errors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdcore.runtime.errors import RunError
from kdcore.runtime.signals import Interrupted, StopFlag
from kdcore.spec.codes import Exit
from kdcore.training.arms import Arm
from kdcore.training.checkpoint import Checkpoints
from kdcore.training.state import History, TrainingState
from kdcore.training.trainer import Trainer
from tests.kdcore.setups import (
    Interrupter,
    hash_of,
    interrupt,
    make_setup,
    make_student,
    make_trainer,
    resume,
)
from tests.kdcore.tiny import FITNET, HARD, KD, events_of, stage


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The hash of an uninterrupted run."""
    return hash_of(make_trainer(tmp_path_factory.mktemp("control"), make_setup())[0].run())


STEPS = 2 * 3 + 3 * 3 + 2 * 3


def test_the_same_run_again_gives_the_same_bits(control: str, tmp_path: Path) -> None:
    assert hash_of(make_trainer(tmp_path, make_setup(), every_s=0)[0].run()) == control


@pytest.mark.parametrize("after", range(1, STEPS + 1))
def test_interrupted_after_any_step_it_ends_with_the_same_bits(
    control: str, tmp_path: Path, after: int
) -> None:
    """Within epochs, at their ends, between stages and between arms."""
    assert resume(tmp_path, interrupt(tmp_path, after)) == control


def test_interrupted_twice_it_ends_with_the_same_bits(control: str, tmp_path: Path) -> None:
    setup, stop = make_setup(), StopFlag()
    broken = replace(setup, loader=Interrupter(setup.loader, stop, 7))  # type: ignore[arg-type]
    trainer, _ = make_trainer(tmp_path, broken, stop)
    trainer.resume(interrupt(tmp_path, 4))
    with pytest.raises(Interrupted):
        trainer.run()
    snapshot, _ = Checkpoints(tmp_path / "checkpoints").load()
    assert snapshot is not None and snapshot.facts["history"]["resumes"] == 1
    assert resume(tmp_path, snapshot) == control


def test_the_wrong_stage_is_noticed(tmp_path: Path) -> None:
    snapshot = interrupt(tmp_path, 10)
    snapshot.facts["position"]["stage"] = 0
    with pytest.raises(RuntimeError, match="regressors"):
        resume(tmp_path, snapshot)


def test_a_stop_during_validation_loses_no_step(
    control: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = StopFlag()

    def interrupted(*_: object, **__: object) -> None:
        stop.request()

    monkeypatch.setattr("kdcore.training.trainer.score", interrupted)
    with pytest.raises(Interrupted):
        make_trainer(tmp_path, make_setup(), stop)[0].run()
    monkeypatch.undo()
    snapshot, _ = Checkpoints(tmp_path / "checkpoints").load()
    assert snapshot is not None
    assert snapshot.facts["position"] == {"arm": "student", "stage": 1, "epoch": 0, "step": 3}
    assert resume(tmp_path, snapshot) == control


def test_checkpoints_come_at_every_step_if_always_due(tmp_path: Path) -> None:
    make_trainer(tmp_path, make_setup(), every_s=0)[0].run()
    saved = [(e["arm"], e["step"]) for e in events_of(tmp_path, "checkpoint")]
    assert {("student", n) for n in range(1, 16)} | {("baseline", n) for n in range(1, 7)} == {
        *saved
    }
    assert all((tmp_path / e["path"]).parent.is_dir() for e in events_of(tmp_path, "checkpoint"))


def test_rarely_they_come_at_the_ends_of_stages_and_arms(tmp_path: Path) -> None:
    make_trainer(tmp_path, make_setup())[0].run()
    saved = [(e["arm"], e["step"]) for e in events_of(tmp_path, "checkpoint")]
    assert saved == [("student", 6), ("student", 15), ("baseline", 6)]


def test_events_report_loss_rate_and_accuracy_of_both_arms(tmp_path: Path) -> None:
    make_trainer(tmp_path, make_setup())[0].run()
    values = [(e["step"], set(e["values"])) for e in events_of(tmp_path, "metrics")]
    assert (3, {"student/loss", "student/loss/fitnet", "student/learning_rate"}) in values
    assert (3, {"student/validation_loss"}) in values
    assert (15, {"student/accuracy"}) in values and (6, {"baseline/accuracy"}) in values
    phases = [e["phase"] for e in events_of(tmp_path, "phase")]
    assert phases == ["training", "baseline"]
    assert events_of(tmp_path, "progress")[-1]["fraction"] == 1.0


def test_the_first_stage_of_fitnet_leaves_the_rest_of_the_student_alone(tmp_path: Path) -> None:
    setup = make_setup((stage(FITNET),))
    setup = replace(setup, arms=setup.arms[:1])
    outcome = make_trainer(tmp_path, setup)[0].run()["student"]
    before = make_student().state_dict()
    changed = {k for k, v in outcome.last.items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith(("conv1.", "bn1.")) for k in changed)


@pytest.mark.parametrize(("start_from", "epoch"), [("best", 1), ("last", 3)])
def test_a_stage_starts_from_the_weights_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_from: str, epoch: int
) -> None:
    """Scores are replaced so that the stage before is best after its first epoch."""
    accuracy = iter([0.9, 0.5, 0.5, 0.4])
    monkeypatch.setattr(Trainer, "_validation_metric", lambda *_: ("accuracy", next(accuracy)))
    frozen = {"name": "sgd", "learning_rate": 1e-30, "momentum": 0, "weight_decay": 0}
    setup = make_setup(
        (stage(KD, epochs=3), stage(KD, epochs=1, start_from=start_from, optimizer=frozen))
    )
    setup = replace(setup, arms=setup.arms[:1])
    kept: list[torch.Tensor] = []
    original = Trainer._validate

    def keep(self: Trainer, arm: Arm, student: nn.Module, run: Any) -> None:
        kept.append(student.state_dict()["conv1.weight"].clone())
        original(self, arm, student, run)

    monkeypatch.setattr(Trainer, "_validate", keep)
    outcome = make_trainer(tmp_path, setup)[0].run()["student"]
    assert torch.equal(outcome.last["conv1.weight"], kept[epoch - 1])
    assert not torch.equal(kept[0], kept[2])
    assert outcome.best is not None and outcome.best.epoch == 4


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path: Path) -> None:
    wild = {"name": "sgd", "learning_rate": 90, "momentum": 0.99}
    setup = make_setup((stage(HARD), stage({**HARD, "weight": 1e30}, epochs=2, optimizer=wild)))
    with pytest.raises(RunError, match="student is not finite in stage 2, epoch 1, step ") as got:
        make_trainer(tmp_path, setup)[0].run()
    assert (got.value.code, got.value.exit) == ("diverged", Exit.DIVERGED)
    assert got.value.pointer == "/stages/1"
    snapshot, _ = Checkpoints(tmp_path / "checkpoints").load()
    assert snapshot is not None and snapshot.facts["position"]["stage"] == 0
    assert all(v.isfinite().all() for k, v in snapshot.tensors.items() if "student/" in k)


def test_resuming_elsewhere_is_allowed_and_marked(tmp_path: Path) -> None:
    snapshot = interrupt(tmp_path, 2)
    for threads, exact in ((snapshot.facts["history"]["machine"]["threads"], True), (64, False)):
        snapshot.facts["history"]["machine"]["threads"] = threads
        state = TrainingState(History(machine=make_setup().shared.device.profile()))
        state.restore(snapshot)
        assert state.history.bit_exact is exact and state.history.resumes == 1
