"""The average of a student: its arithmetic, what it does not change, and its role in a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdcore.training.ema import Average, decay_at
from kdcore.training.evaluate import score, scorer_of
from kdcore.training.trainer import Trainer
from tests.kdcore.setups import hash_of, interrupt, make_setup, make_student, make_trainer, resume
from tests.kdcore.tiny import FITNET, HARD, KD, stage

MADE, MASKED = torch.tensor(0.0), torch.tensor(1.0)
EMA = {"decay": 0.7}
STAGES = (
    stage(FITNET, epochs=1, ema=EMA),
    stage(HARD, KD, epochs=2, ema=EMA, start_from="best", optimizer={"name": "adamw"}),
)


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3))
    return layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _walk(network: nn.Module) -> None:
    """Change weights and statistics."""
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn_like(p))
    network.train()(torch.randn(4, 2, 5, 5))


def test_decay_rises_to_its_limit() -> None:
    assert decay_at(0, 0.999) == 0.1
    assert decay_at(89, 0.999) == pytest.approx(90 / 99)
    assert decay_at(10**6, 0.999) == 0.999
    assert decay_at(0, 0.05) == 0.05


def test_it_is_the_moving_average_of_weights_and_statistics() -> None:
    network = _network()
    average = Average(network, 0.6)
    expected = {k: v.clone().double() for k, v in average.tensors().items()}
    assert set(expected) == {"0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    for step in range(12):
        _walk(network)
        average.update(step, MADE)
        keep = decay_at(step, 0.6)
        for name, value in expected.items():
            expected[name] = keep * value + (1 - keep) * network.state_dict()[name].double()
    for name, value in average.tensors().items():
        torch.testing.assert_close(value, expected[name].float())


def test_what_does_not_change_keeps_its_bits() -> None:
    network = _network()
    average = Average(network, 0.9)
    for step in range(20):
        average.update(step, MADE)
    for name, value in average.tensors().items():
        assert torch.equal(value, network.state_dict()[name])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_masked_step_does_not_poison_it(bad: float) -> None:
    network = _network()
    average = Average(network, 0.9)
    before = {k: v.clone() for k, v in average.tensors().items()}
    network[1].running_mean.fill_(bad)  # type: ignore[operator]
    average.update(0, MASKED)
    assert all(torch.equal(v, before[k]) for k, v in average.tensors().items())


def test_it_is_applied_for_a_while_or_for_good() -> None:
    network = _network()
    average = Average(network, 0.9)
    _walk(network)
    average.update(0, MADE)
    own = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(KeyError), average.applied():
        assert torch.equal(network[1].running_var, average.tensors()["1.running_var"])  # type: ignore[arg-type]
        assert int(network[1].num_batches_tracked) == 1  # type: ignore[arg-type]
        raise KeyError
    assert all(torch.equal(v, own[k]) for k, v in network.state_dict().items())
    average.apply()
    assert torch.equal(network.state_dict()["0.weight"], average.tensors()["0.weight"])


def test_a_loss_that_is_not_finite_leaves_the_average(tmp_path: Path) -> None:
    setup = make_setup((stage({**HARD, "weight": 1e39}, ema=EMA),))
    kept: list[dict[str, torch.Tensor]] = []
    run_epoch = Trainer._run_epoch

    def watched(self: Trainer, arm: Any, student: Any, run: Any) -> None:
        kept.append({k: v for k, v in run.tensors().items() if k.startswith("average/")})
        kept.append({k: v.clone() for k, v in kept[0].items()})
        run_epoch(self, arm, student, run)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Exception, match="not finite"):
        patch.setattr(Trainer, "_run_epoch", watched)
        make_trainer(tmp_path, setup)[0].run()
    assert kept[0] and all(torch.equal(v, kept[1][k]) for k, v in kept[0].items())


@pytest.mark.parametrize("after", [1, 3, 4, 8])
def test_interrupted_a_run_with_averages_ends_with_the_same_bits(
    tmp_path: Path, after: int
) -> None:
    control = hash_of(make_trainer(tmp_path / "control", make_setup(STAGES))[0].run())
    snapshot = interrupt(tmp_path / "run", after, STAGES)
    assert any(k.startswith("stage/average/") for k in snapshot.tensors)
    assert resume(tmp_path / "run", snapshot, STAGES) == control
    tensors = dict(snapshot.tensors)
    for name in [k for k in tensors if k.startswith("stage/average/")]:
        tensors[name] = tensors[name] + 1e-2
    assert resume(tmp_path / "run", replace(snapshot, tensors=tensors), STAGES) != control


def test_the_average_is_validated_kept_and_starts_the_next_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = make_setup((stage(HARD, epochs=2, ema=EMA), stage(HARD, ema=EMA)))
    setup = replace(setup, arms=setup.arms[:1])
    measured: list[tuple[str, float]] = []
    began: list[torch.Tensor] = []
    ended: list[tuple[torch.Tensor, torch.Tensor]] = []
    measure, run_epoch = Trainer._validation_metric, Trainer._run_epoch

    def watched(self: Trainer, arm: Any, student: Any, run: Any) -> None:
        began.append(student.head.weight.detach().clone())
        run_epoch(self, arm, student, run)
        average = run.tensors()["average/head.weight"].clone()
        ended.append((student.head.weight.detach().clone(), average))

    monkeypatch.setattr(Trainer, "_run_epoch", watched)
    monkeypatch.setattr(
        Trainer,
        "_validation_metric",
        lambda *a: measured.append(measure(*a)) or measured[-1],  # type: ignore[func-returns-value]
    )
    outcome = make_trainer(tmp_path, setup)[0].run()["student"]
    assert all(not torch.equal(raw, average) for raw, average in ended)
    assert torch.equal(began[1], ended[0][0])  # within a stage the raw weights go on
    assert torch.equal(began[2], ended[1][1])  # the next starts from the average
    assert torch.equal(outcome.last["head.weight"], ended[2][1])
    assert outcome.best is not None and outcome.best.epoch == 3
    assert torch.equal(outcome.best.weights["head.weight"], ended[2][1])
    student = make_student()
    student.load_state_dict(outcome.last)
    assert setup.validation_set is not None
    scorer = scorer_of(student, setup.shared.adapter)
    result, _ = score(scorer, setup.validation_set, "the student")
    assert measured[-1] == ("accuracy", result.accuracy)
