"""Contrastive distillation: memories, negatives of other classes, and validation."""

import math
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from kdcore.data.batches import Batch
from kdcore.methods.crd import Contrast, Crd, contrast_loss
from kdcore.objectives.base import MethodContext
from kdcore.spec.knobs.relations import CrdKnobs
from tests.kdcore.methods.pairs import (
    BATCH,
    HALVES,
    assert_finite,
    assert_weighted,
    between,
    each_loss,
    passes,
    random,
    refusal,
)
from tests.kdcore.tiny import Traps

# Training samples lie anywhere in their split; their classes in the memory: 0, 1, 0, 2, 1.
TRAINING = torch.tensor([1, 2, 4, 7, 8])
LABELS = torch.tensor([9, 0, 1, 9, 0, 9, 9, 2, 1])
ALL: dict[str, Any] = {"training_N": torch.arange(6), "labels_N": torch.arange(6) % 3}


def _context(labels_N: Tensor | None = LABELS) -> MethodContext:
    return between(training_N=TRAINING, labels_N=labels_N, labelled=labels_N is not None)


def _contrast(labels_N: Tensor | None = LABELS, **knobs: float) -> Contrast:
    torch.manual_seed(0)
    given = CrdKnobs.model_validate({"embedding": 4, "temperature": 0.5, **knobs})
    return Contrast(3, 5, given, _context(labels_N))


def _batch(*index: int, labels_N: Tensor | None = LABELS) -> Batch:
    index_B = torch.tensor(index)
    labels_B = None if labels_N is None else labels_N[index_B]
    return Batch(index_B, torch.zeros(len(index), 1, 8, 8), labels_B)


def _memories(contrast: Contrast) -> list[Tensor]:
    return [contrast.memory_student_NE.clone(), contrast.memory_teacher_NE.clone()]


def test_a_pair_and_its_negatives_at_the_level_of_noise() -> None:
    """Every score equals K / N = 1/2: the loss is (1 + K) log 2."""
    own_B, others_BK = torch.full((3,), 0.5), torch.full((3, 2), 0.5)
    loss = contrast_loss(own_B, others_BK, torch.ones(3, 2, dtype=torch.bool), samples=4)
    assert loss.item() == pytest.approx(3 * math.log(2), rel=1e-5)


def test_samples_that_are_not_negatives_do_not_count() -> None:
    """Neither as a score nor in K."""
    own_B, negative_BK = torch.full((1,), 0.5), torch.tensor([[True, False, True]])
    loss = contrast_loss(own_B, torch.tensor([[0.3, 77.0, 0.4]]), negative_BK, samples=4)
    without = contrast_loss(own_B, torch.tensor([[0.3, 0.4]]), negative_BK[:, ::2], samples=4)
    torch.testing.assert_close(loss, without)


def test_sure_pairs_against_distant_negatives_cost_nothing() -> None:
    negative_BK = torch.ones(2, 3, dtype=torch.bool)
    loss = contrast_loss(torch.full((2,), 1e6), torch.zeros(2, 3), negative_BK, samples=10)
    assert loss.item() == pytest.approx(0, abs=1e-4)
    assert contrast_loss(torch.ones(2), torch.ones(2, 3), negative_BK, samples=10).item() > 1


@HALVES
def test_half_precision_is_finite_float32(dtype: torch.dtype) -> None:
    huge_B = torch.full((2,), 6e4, dtype=dtype)
    negative_BK = torch.ones(2, 3, dtype=torch.bool)
    assert_finite(contrast_loss(huge_B, torch.full((2, 3), 6e4, dtype=dtype), negative_BK, 10))


def test_huge_maps_and_silent_ones_are_finite() -> None:
    """Embeddings have length 1, so at the default temperature scores stay below e^15."""
    contrast = _contrast(temperature=0.07)
    student_BC = torch.stack([6e4 * torch.ones(3), torch.zeros(3)]).requires_grad_()
    loss = contrast(student_BC, -6e4 * torch.ones(2, 5), _batch(1, 2))
    assert_finite(loss, student_BC)


@pytest.mark.parametrize("training", [True, False])
def test_the_scale_of_embeddings_does_not_count(training: bool) -> None:
    losses = []
    for scale in (1.0, 30.0):
        contrast = _contrast().train(training)
        for projection in (contrast.student, contrast.teacher):
            torch.nn.init.zeros_(projection.bias)
        losses.append(contrast(scale * random(2, 3), scale * random(2, 5, seed=1), _batch(1, 7)))
    torch.testing.assert_close(*losses)


def test_memories_take_in_only_the_batchs_samples_with_momentum() -> None:
    contrast = _contrast(momentum=0.25)
    student_BC, teacher_BC = random(2, 3), random(2, 5, seed=1)
    before = _memories(contrast)
    contrast(student_BC, teacher_BC, _batch(7, 2))  # rows 3 and 1
    fresh = contrast.student(student_BC), contrast.teacher(teacher_BC)
    for old_NE, new_NE, fresh_BE in zip(before, _memories(contrast), fresh, strict=True):
        assert torch.equal(new_NE[[0, 2, 4]], old_NE[[0, 2, 4]])
        mixed_BE = 0.25 * old_NE[[3, 1]] + 0.75 * functional.normalize(fresh_BE, dim=1)
        torch.testing.assert_close(new_NE[[3, 1]], functional.normalize(mixed_BE, dim=1))
        assert not new_NE.requires_grad


def test_validation_moves_neither_memories_nor_scale_nor_generators() -> None:
    """It works on samples that are not in the memory, and gives the same every time."""
    contrast = _contrast(negatives=2)
    contrast(random(2, 3), random(2, 5, seed=1), _batch(1, 7))
    before, state = {k: v.clone() for k, v in contrast.state_dict().items()}, torch.get_rng_state()
    contrast.eval()
    held_out = _batch(0, 3, 5)
    losses = [contrast(random(3, 3), random(3, 5, seed=1), held_out) for _ in range(2)]
    assert torch.isfinite(losses[0]) and torch.equal(*losses)
    assert all(torch.equal(v, before[k]) for k, v in contrast.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_validation_accepts_positions_beyond_the_training_samples() -> None:
    contrast = _contrast(labels_N=None).eval()
    batch = Batch(torch.tensor([100, 200]), torch.zeros(2, 1, 8, 8), None)
    assert torch.isfinite(contrast(random(2, 3), random(2, 5, seed=1), batch))


def test_the_scale_is_set_by_the_first_batch_and_kept() -> None:
    contrast = _contrast()
    assert contrast.scale_2.tolist() == [0, 0]
    contrast(random(2, 3), random(2, 5, seed=1), _batch(1, 7))
    first_2 = contrast.scale_2.clone()
    assert bool((first_2 > 0).all())
    contrast(random(2, 3, seed=2), random(2, 5, seed=3), _batch(2, 4))
    assert torch.equal(contrast.scale_2, first_2)


@pytest.mark.parametrize(("row", "counts"), [(2, False), (1, True), (3, True), (4, True)])
def test_negatives_are_samples_of_other_classes(row: int, counts: bool) -> None:
    """Of the sample at position 1, class 0; row 2 of the memories has its class."""
    losses = []
    for change in (False, True):
        contrast = _contrast()
        contrast.scale_2.fill_(5.0)
        if change:
            contrast.memory_teacher_NE[row] *= -1
        losses.append(contrast(random(1, 3), random(1, 5, seed=1), _batch(1)))
    assert torch.equal(*losses) is not counts


@pytest.mark.parametrize(("row", "counts"), [(0, False), (1, True), (2, True)])
def test_without_labels_all_but_the_sample_itself_are_negatives(row: int, counts: bool) -> None:
    contrast = _contrast(labels_N=None)
    drawn_K = torch.arange(5)
    is_negative_BK = contrast._negatives(drawn_K, None, contrast.row_S[torch.tensor([1])], 1)
    assert is_negative_BK[0, row].item() is counts


def test_all_samples_are_negatives_if_there_are_no_more_than_wanted() -> None:
    """Then nothing is drawn: every sample once, and no generator moves."""
    state = torch.get_rng_state()
    for negatives in (5, 100):
        assert torch.equal(
            _contrast(negatives=negatives)._draw(torch.device("cpu")), torch.arange(5)
        )
    few = _contrast(negatives=3)
    torch.set_rng_state(state)
    drawn_K = few._draw(torch.device("cpu"))
    assert drawn_K.shape == (3,) and bool((drawn_K < 5).all())
    assert not torch.equal(torch.get_rng_state(), state)


def test_a_student_that_separates_samples_like_the_teacher_costs_less() -> None:
    torch.manual_seed(0)
    knobs = CrdKnobs(embedding=3, temperature=0.1)
    contrast = Contrast(3, 3, knobs, between(training_N=torch.arange(3), labels_N=torch.arange(3)))
    for projection in (contrast.student, contrast.teacher):
        torch.nn.init.eye_(projection.weight)
        torch.nn.init.zeros_(projection.bias)
    contrast.memory_teacher_NE.copy_(torch.eye(3))
    contrast.memory_student_NE.copy_(torch.eye(3))
    contrast.scale_2.fill_(1000.0)
    batch = Batch(torch.arange(3), torch.zeros(3, 1, 8, 8), torch.arange(3))
    contrast.eval()
    right, wrong = (contrast(torch.eye(3).roll(n, 0), torch.eye(3), batch) for n in (0, 1))
    assert right.item() < wrong.item() - 1


def test_the_memories_and_the_scale_are_state_and_the_rest_is_not() -> None:
    contrast = _contrast()
    contrast(random(2, 3), random(2, 5, seed=1), _batch(1, 7))
    state = contrast.state_dict()
    assert {"memory_student_NE", "memory_teacher_NE", "scale_2"} <= set(state)
    assert not {"row_S", "labels_N"} & set(state)
    torch.manual_seed(5)
    twin = Contrast(3, 5, contrast.knobs, _context())
    twin.load_state_dict(state)
    arguments = random(2, 3, seed=2), random(2, 5, seed=3), _batch(2, 8)
    assert torch.equal(twin(*arguments), contrast(*arguments))


def test_the_deepest_level_is_contrasted_and_teachers_count_by_weight() -> None:
    method = Crd(CrdKnobs(), between(Traps(6), **ALL)).eval()
    student, (teacher,) = passes(method)
    assert [x.shape[2:] for x in student.features.values()] == [(4, 4)]
    (expected,) = each_loss(method, student, [teacher])
    torch.testing.assert_close(method(student, [teacher], BATCH), {"crd": expected})

    def make(context: MethodContext) -> Crd:
        return Crd(CrdKnobs(), replace(context, **ALL))

    assert_weighted(make)


def test_every_teacher_has_its_own_memories() -> None:
    method = Crd(CrdKnobs(), between(Traps(), Traps(6), **ALL))
    first, second = (cast(Contrast, part) for part in method.heads)
    assert first.memory_teacher_NE.data_ptr() != second.memory_teacher_NE.data_ptr()


def test_one_sample_per_batch_is_refused() -> None:
    error = refusal(lambda: Crd(CrdKnobs(), between(batch_size=1, **ALL)))
    assert error.code == "batch_too_small" and "needs at least 2, not 1" in error.message
