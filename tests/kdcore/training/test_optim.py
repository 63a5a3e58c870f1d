"""Optimizers, schedules, and the guard against losses that are not finite."""

import math
import subprocess
import sys
from typing import cast

import pytest
import torch
from torch import nn

from kdcore.spec.recipe import AdamW, Cosine, Multistep, Schedule, Sgd
from kdcore.training.optim import (
    FiniteGuard,
    FusedOptimizer,
    learning_rate,
    make_optimizer,
    optimizer_tensors,
    restore_optimizer,
)


def _parameters() -> dict[str, nn.Parameter]:
    torch.manual_seed(0)
    return {"w": nn.Parameter(torch.randn(3, 4)), "b": nn.Parameter(torch.randn(3))}


def _rates(schedule: Schedule, steps: int, steps_per_epoch: int) -> list[float]:
    return [learning_rate(schedule, 1.0, step, steps, steps_per_epoch) for step in range(steps)]


def test_multistep_falls_after_each_milestone_of_the_stage() -> None:
    rates = _rates(Multistep(milestones=(0.5, 0.75), gamma=0.1), steps=8, steps_per_epoch=2)
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_falls_to_its_final_fraction() -> None:
    rates = _rates(Cosine(final_fraction=0.2), steps=100, steps_per_epoch=10)
    assert rates[0] == 1.0 and rates[50] == pytest.approx(0.6)
    assert rates[-1] == pytest.approx(0.2, abs=1e-3) and rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("schedule", [Cosine(warmup_epochs=1), Multistep(warmup_epochs=1)])
def test_warm_up_rises_linearly_to_the_rate(schedule: Schedule) -> None:
    rates = _rates(schedule, steps=40, steps_per_epoch=4)
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0]) and rates[4] == 1.0


def test_warm_up_longer_than_the_stage_never_ends() -> None:
    assert _rates(Cosine(warmup_epochs=9), 4, 4) == pytest.approx([0.25, 0.5, 0.75, 1.0])


SGDS = [Sgd(momentum=0.0), Sgd(), Sgd(learning_rate=0.1, nesterov=True, weight_decay=0.01)]


@pytest.mark.parametrize("spec", [*SGDS, AdamW(learning_rate=0.1, betas=(0.8, 0.99))])
def test_steps_give_the_bits_of_torchs_fused_optimizers(spec: Sgd | AdamW) -> None:
    ours, theirs = _parameters(), _parameters()
    a, b = make_optimizer(spec, ours), _torchs(spec, theirs)
    for count in range(5):
        for parameters in (ours, theirs):
            for p in parameters.values():
                p.grad = (p.detach() + count).sin()
        masked = torch.tensor(float(count == 2))
        a.found_inf = masked
        setattr(b, "found_inf", masked)  # noqa: B010 -- fused steps read it
        a.step()
        b.step()
    assert all(torch.equal(p, theirs[name]) for name, p in ours.items())


def _torchs(spec: Sgd | AdamW, parameters: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    settings = spec.model_dump(exclude={"name", "learning_rate"})
    if isinstance(spec, Sgd):
        return torch.optim.SGD(parameters.values(), spec.learning_rate, fused=True, **settings)
    vectors = {"params": parameters["b"], "weight_decay": 0.0}
    groups: list[dict[str, object]] = [{"params": parameters["w"]}, vectors]
    return torch.optim.AdamW(groups, spec.learning_rate, fused=True, **settings)


def test_a_gradient_scaler_scales_and_skips_steps() -> None:
    """On a CPU in float32: the contract with torch.amp.GradScaler, which fp16 on a GPU uses."""
    ours, theirs = _parameters(), _parameters()
    a, b = make_optimizer(Sgd(), ours), make_optimizer(Sgd(), theirs)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for bad in (False, True, False):
        a.zero_grad()
        loss = sum((p.sin().sum() for p in ours.values()), torch.zeros(()))
        scaler.scale(loss * (math.inf if bad else 1.0)).backward()  # type: ignore[no-untyped-call]
        scaler.step(cast(torch.optim.Optimizer, a))
        scaler.update()
        if not bad:
            for p in theirs.values():
                p.grad = p.detach().cos()
            b.step()
    assert scaler.get_scale() == 4.0
    for name, p in ours.items():
        torch.testing.assert_close(p, theirs[name])


def test_a_training_step_does_not_import_the_compiler() -> None:
    """It takes a second, as long as torch itself: `torch.optim` imports it at its first step."""
    code = "import sys; from kdcore.runs.warm import train_once; train_once();"
    code += "print([name for name in sys.modules if name == 'torch._dynamo'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("spec", "decays"), [(Sgd(), {"w", "b"}), (AdamW(), {"w"})])
def test_weight_decay_spares_vectors_in_adamw_alone(spec: Sgd | AdamW, decays: set[str]) -> None:
    parameters = _parameters()
    before = {name: p.detach().clone() for name, p in parameters.items()}
    for p in parameters.values():
        p.grad = torch.zeros_like(p)
    make_optimizer(spec, parameters).step()
    assert {n for n, p in parameters.items() if not torch.equal(p, before[n])} == decays


@pytest.mark.parametrize("spec", [Sgd(), AdamW()])
def test_parameters_without_a_gradient_stay(spec: Sgd | AdamW) -> None:
    parameters = _parameters()
    before = parameters["w"].detach().clone()
    parameters["b"].grad = torch.ones(3)
    make_optimizer(spec, parameters).step()
    assert torch.equal(parameters["w"], before)


@pytest.mark.parametrize("spec", [Sgd(), AdamW()])
def test_state_comes_back_in_the_parameters_own_memory_format(spec: Sgd | AdamW) -> None:
    def make() -> dict[str, nn.Parameter]:
        weight = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
        return {"w": nn.Parameter(weight.contiguous(memory_format=torch.channels_last))}

    def learn(optimizer: FusedOptimizer, parameters: dict[str, nn.Parameter]) -> None:
        parameters["w"].grad = parameters["w"].detach().sin()
        optimizer.step()

    parameters, twin = make(), make()
    optimizer = make_optimizer(spec, parameters)
    learn(optimizer, parameters)
    saved = optimizer_tensors(optimizer, parameters)
    saved = {name: tensor.contiguous().clone() for name, tensor in saved.items()}
    twin["w"].data.copy_(parameters["w"].data)
    other = make_optimizer(spec, twin)
    restore_optimizer(other, twin, saved)
    for _ in range(2):
        learn(optimizer, parameters)
        learn(other, twin)
    assert torch.equal(parameters["w"], twin["w"])
    assert all(v.stride() == twin["w"].stride() for v in other.state[twin["w"]].values() if v.ndim)


@pytest.mark.parametrize("spec", [Sgd(), AdamW()])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_makes_no_step_nor_any_after_it(
    spec: Sgd | AdamW, bad: float
) -> None:
    parameters, guard = _parameters(), FiniteGuard(torch.device("cpu"))
    optimizer = make_optimizer(spec, parameters)
    seen = []
    for step, loss in enumerate([bad, 1.0]):
        for p in parameters.values():
            p.grad = torch.full_like(p, loss)
        before = {name: p.detach().clone() for name, p in parameters.items()}
        optimizer.found_inf = guard.mask(torch.tensor(loss), step)
        optimizer.step()
        seen += [torch.equal(p, before[name]) for name, p in parameters.items()]
    assert all(seen) and guard.first_bad() == 0


def test_a_guard_that_saw_nothing_bad_lets_every_step_pass() -> None:
    guard = FiniteGuard(torch.device("cpu"))
    assert guard.mask(torch.tensor(1.0), 0).item() == 0.0
    assert guard.first_bad() is None
    assert guard.mask(torch.tensor(math.nan), 7).item() == 1.0
    assert guard.first_bad() == 7
