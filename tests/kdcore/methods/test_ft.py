"""Factor transfer: the paraphraser's own stage, the stage that loads it, and the joint form."""

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from kdcore.features.taps import Outputs
from kdcore.methods.ft import Factors, Ft, factor_loss, reconstruction_loss
from kdcore.objectives.base import Method
from kdcore.spec.knobs.base import Knobs
from kdcore.spec.knobs.maps import FtKnobs
from tests.kdcore.methods.pairs import (
    BATCH,
    HALVES,
    assert_finite,
    assert_weighted,
    between,
    passes,
    random,
    refusal,
)
from tests.kdcore.tiny import Traps

PARAPHRASER = FtKnobs(part="paraphraser")


def _factors(method: Ft) -> Factors:
    return cast(Factors, cast(nn.ModuleList, method.heads[0])[0])


def _grads(loss: Tensor, module: nn.Module) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, list(module.parameters()), allow_unused=True))


def _taught() -> tuple[Ft, Ft]:
    """A method that trains a paraphraser, and a transfer that has loaded it."""
    context = between(Traps(6))
    first, second = Ft(PARAPHRASER, context), Ft(FtKnobs(), context)
    _, teachers = passes(first)
    first(Outputs(None), teachers, BATCH)  # moves its batch norms
    _inherit(second, first)
    return first, second


def _inherit(method: Ft, earlier: Ft) -> None:
    method.load_from_previous([cast(Method[Knobs], earlier)])


def test_factors_of_length_one_are_compared_by_absolute_differences() -> None:
    s_BCHW, t_BCHW = torch.tensor([3.0, 4.0]), torch.tensor([1.0, 0.0])
    loss = factor_loss(s_BCHW.view(1, 2, 1, 1), t_BCHW.view(1, 2, 1, 1))
    assert loss.item() == pytest.approx((0.4 + 0.8) / 2, rel=1e-6)


def test_positive_scale_does_not_count_and_the_larger_factor_is_pooled() -> None:
    t_BCHW = random(2, 3, 4, 2)
    larger_BCHW = nn.functional.interpolate(5 * t_BCHW, (8, 4), mode="nearest")
    assert factor_loss(larger_BCHW, t_BCHW).item() == pytest.approx(0, abs=1e-6)
    assert factor_loss(random(2, 3, 4, 2, seed=1), t_BCHW).item() > 0.01


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_BCHW = torch.full((2, 3, 4, 4), 6e4, dtype=dtype)
    assert_finite(factor_loss(huge_BCHW, -huge_BCHW))
    assert_finite(reconstruction_loss(huge_BCHW, -huge_BCHW))


def test_the_paraphrasers_stage_reads_and_trains_nothing_of_the_student() -> None:
    method = Ft(PARAPHRASER, between(Traps(6)))
    assert method.student_taps == () and not method.student_logits
    assert _factors(method).translator is None
    _, teachers = passes(method)
    terms = method(Outputs(None), teachers, BATCH)
    assert set(terms) == {"ft_reconstruction"}
    (t_BCHW,) = teachers[0].features.values()
    paraphraser = _factors(method).paraphraser
    rebuilt_BCHW = paraphraser.decoder(paraphraser.encoder(t_BCHW))
    torch.testing.assert_close(terms["ft_reconstruction"], (rebuilt_BCHW - t_BCHW).square().mean())
    assert all(g is not None for g in _grads(terms["ft_reconstruction"], method))


def test_a_paraphraser_learns_to_rebuild_the_map() -> None:
    torch.manual_seed(0)
    method = Ft(PARAPHRASER, between(Traps(6)))
    optimizer = torch.optim.Adam(method.parameters(), lr=0.01)
    _, teachers = passes(method)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = method(Outputs(None), teachers, BATCH)["ft_reconstruction"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_a_later_transfer_loads_the_paraphraser_and_freezes_it() -> None:
    first, second = _taught()
    mine, theirs = _factors(second).paraphraser, _factors(first).paraphraser
    state = theirs.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in mine.state_dict().items())
    assert not any(p.requires_grad for p in mine.parameters())
    translator = _factors(second).translator
    assert translator is not None and all(p.requires_grad for p in translator.parameters())


def test_a_loaded_paraphraser_stays_in_evaluation_mode_and_does_not_change() -> None:
    _, second = _taught()
    second.train()
    factors = _factors(second)
    assert factors.translator is not None and factors.translator.training
    assert not any(m.training for m in factors.paraphraser.modules())
    before = {k: v.clone() for k, v in factors.paraphraser.state_dict().items()}
    student, teachers = passes(second)
    terms = second(student, teachers, BATCH)
    assert set(terms) == {"ft"}
    assert all(g is not None for g in _grads(terms["ft"], factors.translator))
    assert all(torch.equal(v, before[k]) for k, v in factors.paraphraser.state_dict().items())


@pytest.mark.parametrize(
    "other", [{"rate": 0.25}, {"teacher_taps": ({"module": "bn2"},)}, {"part": "transfer"}]
)
def test_a_paraphraser_of_something_else_is_not_loaded(other: dict[str, object]) -> None:
    context = between(Traps(6))
    first = Ft(FtKnobs.model_validate({"part": "paraphraser", **other}), context)
    second = Ft(FtKnobs(), context)
    _inherit(second, first)
    student, teachers = passes(second)
    assert set(second(student, teachers, BATCH)) == {"ft", "ft_reconstruction"}


def test_jointly_only_the_reconstruction_trains_the_paraphraser() -> None:
    method = Ft(FtKnobs(), between(Traps(6)))
    factors = _factors(method)
    student, teachers = passes(method)
    for x_BCHW in student.features.values():
        x_BCHW.requires_grad_()
    terms = method(student, teachers, BATCH)
    assert set(terms) == {"ft", "ft_reconstruction"}
    assert factors.translator is not None
    assert all(g is None for g in _grads(terms["ft"], factors.paraphraser))
    assert all(g is not None for g in _grads(terms["ft_reconstruction"], factors.paraphraser))
    (s_BCHW,) = student.features.values()
    (grad_BCHW,) = torch.autograd.grad(terms["ft"], s_BCHW)
    assert grad_BCHW.abs().max() > 0


@pytest.mark.parametrize(("rate", "channels"), [(0.5, 3), (2.0, 12), (0.01, 1)])
def test_rate_sets_the_factors_channels(rate: float, channels: int) -> None:
    method = Ft(FtKnobs(rate=rate), between(Traps(6)))
    factors = _factors(method)
    assert factors.translator is not None
    assert factors.paraphraser.encoder(random(2, 6, 4, 4)).shape == (2, channels, 4, 4)
    assert factors.translator(random(2, 4, 4, 4)).shape == (2, channels, 4, 4)


def test_several_teachers_count_by_weight() -> None:
    assert_weighted(lambda context: Ft(FtKnobs(), context))


def test_reconstructions_of_several_teachers_count_by_weight_too() -> None:
    method = Ft(PARAPHRASER, between(Traps(), Traps(6), weights=(3.0, 1.0))).eval()
    _, teachers = passes(method)
    maps = [next(iter(t.features.values())) for t in teachers]
    levels = [cast(Factors, cast(nn.ModuleList, part)[0]) for part in method.heads]
    each = [x.paraphraser.reconstruction(t) for x, t in zip(levels, maps, strict=True)]
    terms = method(Outputs(None), teachers, BATCH)
    torch.testing.assert_close(terms["ft_reconstruction"], 0.75 * each[0] + 0.25 * each[1])


def test_a_vector_is_refused() -> None:
    knobs = FtKnobs.model_validate({"teacher_taps": ({"module": "head"},)})
    error = refusal(lambda: Ft(knobs, between()))
    assert (error.code, error.pointer) == ("not_a_map", "/teacher_taps/0")
