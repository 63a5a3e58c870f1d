"""Scores: accuracy, cross-entropy and agreement, of one network or several teachers together."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.images import Split
from kdcore.runtime.device import Device
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import Exit
from kdcore.spec.run import Network
from kdcore.training.evaluate import (
    EvalSet,
    Scorer,
    ensemble_of,
    latency_ms,
    score,
    score_teachers,
    scorer_of,
)
from kdcore.training.teachers import Teacher
from tests.kdcore.tiny import CLASSES, SIDE, Traps

CPU = torch.device("cpu")
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randint(0, 256, (10, 1, SIDE, SIDE), generator=GENERATOR, dtype=torch.uint8)
LABELS = torch.arange(10) % CLASSES


def _eval_set(labelled: bool = True) -> EvalSet:
    return EvalSet(Split(IMAGES, LABELS if labelled else None), None, 4, CPU)


def _fixed(logits_NK: Tensor) -> Scorer:
    """A scorer that returns these scores, batch after batch."""
    position = 0

    def run(images_BCHW: Tensor) -> Tensor:
        nonlocal position
        position += len(images_BCHW)
        return logits_NK[position - len(images_BCHW) : position]

    return run


def _teacher(seed: int, classes: int = CLASSES) -> Teacher:
    torch.manual_seed(seed)
    spec = Network(architecture="traps", num_classes=classes)
    return Teacher(f"t{seed}", spec, Traps(classes=classes), nn.Identity(), weight=seed + 1.0)


def test_score_is_exact_over_uneven_batches() -> None:
    logits_NK = torch.randn(10, CLASSES, generator=torch.Generator().manual_seed(1))
    eval_set = _eval_set()
    eval_set.teacher_top_N = LABELS.roll(1)
    result, top_N = score(_fixed(logits_NK), eval_set, "x")
    assert torch.equal(top_N, logits_NK.argmax(1))
    assert result.samples == 10
    assert result.accuracy == pytest.approx((top_N == LABELS).float().mean().item())
    assert result.loss == pytest.approx(functional.cross_entropy(logits_NK, LABELS).item())
    assert result.agreement == pytest.approx((top_N == LABELS.roll(1)).float().mean().item())


def test_without_labels_there_is_agreement_only() -> None:
    eval_set = _eval_set(labelled=False)
    eval_set.teacher_top_N = torch.zeros(10, dtype=torch.int64)
    result, _ = score(_fixed(torch.eye(CLASSES)[torch.zeros(10, dtype=torch.int64)]), eval_set, "x")
    assert (result.accuracy, result.loss, result.agreement) == (None, None, 1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_an_error(bad: float) -> None:
    logits_NK = torch.zeros(10, CLASSES)
    logits_NK[7, 1] = bad
    with pytest.raises(RunError, match="of x are not finite") as caught:
        score(_fixed(logits_NK), _eval_set(), "x")
    assert (caught.value.code, caught.value.exit) == ("diverged", Exit.DIVERGED)


def test_one_teacher_is_the_reference() -> None:
    eval_set, teacher = _eval_set(), _teacher(0)
    scores = score_teachers([teacher], "arithmetic", CLASSES, eval_set)
    with torch.no_grad():
        top_N = teacher.network(IMAGES / 255).argmax(1)
    assert eval_set.teacher_top_N is not None and torch.equal(eval_set.teacher_top_N, top_N)
    assert scores.ensemble is None and scores.accuracy == scores.each[0].accuracy
    assert scores.each[0].agreement is None


def test_several_teachers_are_scored_alone_and_together() -> None:
    eval_set, teachers = _eval_set(), [_teacher(0), _teacher(1)]
    scores = score_teachers(teachers, "geometric", CLASSES, eval_set)
    with torch.no_grad():
        mixed_NK = sum(t.weight / 3 * t.network(IMAGES / 255) for t in teachers)
    assert isinstance(mixed_NK, Tensor) and eval_set.teacher_top_N is not None
    assert torch.equal(eval_set.teacher_top_N, mixed_NK.argmax(1))
    assert scores.ensemble is not None and scores.accuracy == scores.ensemble.accuracy
    assert all(s.agreement is not None for s in scores.each)
    log_probs_BK = ensemble_of(teachers, "geometric")(IMAGES / 255)
    torch.testing.assert_close(log_probs_BK, torch.log_softmax(mixed_NK, 1))


def test_a_teacher_of_other_classes_has_no_accuracy_and_is_not_the_reference() -> None:
    eval_set = _eval_set()
    scores = score_teachers([_teacher(0, classes=7)], "arithmetic", CLASSES, eval_set)
    assert scores.accuracy is None and eval_set.teacher_top_N is None


def test_a_teacher_with_broken_weights_is_bad_input() -> None:
    teacher = _teacher(0)
    teacher.network.get_submodule("head").weight.data.fill_(math.nan)  # type: ignore[operator]
    with pytest.raises(RunError) as caught:
        score_teachers([teacher], "arithmetic", CLASSES, _eval_set())
    assert (caught.value.code, caught.value.exit) == ("teacher_not_finite", Exit.BAD_INPUT)


def test_scoring_runs_in_evaluation_mode_and_changes_nothing() -> None:
    network = Traps(chance=True)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    rng = torch.get_rng_state()
    tops = [score(scorer_of(network, nn.Identity()), _eval_set(), "x")[1] for _ in range(2)]
    assert torch.equal(*tops) and not network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert torch.equal(rng, torch.get_rng_state())


def test_latency_is_a_positive_median(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(CPU, "fp32")
    assert latency_ms(Traps(), torch.zeros(1, 1, SIDE, SIDE), device) > 0
    monkeypatch.setattr("kdcore.training.evaluate.LATENCY_LIMIT_S", 0.0)
    assert latency_ms(Traps(), torch.zeros(1, 1, SIDE, SIDE), device) > 0
