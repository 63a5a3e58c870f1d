"""Shared arithmetic: ensembles as in the paper, in float32 whatever the inputs."""

import pytest
import torch
from torch import Tensor

from kdcore.objectives.numerics import ensemble_log_probs, in_float32
from kdcore.spec.recipe import Ensemble
from tests.kdcore.tiny import golden

MEANS: tuple[Ensemble, ...] = ("arithmetic", "geometric")


@pytest.mark.parametrize("mean", MEANS)
def test_ensemble_matches_the_golden_values(mean: Ensemble) -> None:
    case = golden("ensemble")
    logits = [case[f"teacher{i}"] for i in range(3)]
    log_probs_BK = ensemble_log_probs(logits, case["weights"].tolist(), 4.0, mean)
    torch.testing.assert_close(log_probs_BK.exp(), case[mean], rtol=1e-5, atol=0)


def test_geometric_mean_is_softmax_of_the_weighted_mean_logits() -> None:
    a_BK, b_BK = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    log_probs_BK = ensemble_log_probs([a_BK, b_BK], [3, 1], 2.0, "geometric")
    expected_BK = torch.log_softmax((0.75 * a_BK + 0.25 * b_BK) / 2, 1)
    torch.testing.assert_close(log_probs_BK, expected_BK)
    arithmetic_BK = ensemble_log_probs([a_BK, b_BK], [3, 1], 2.0, "arithmetic")
    assert (log_probs_BK - arithmetic_BK).abs().max() > 1e-3


@pytest.mark.parametrize("mean", MEANS)
def test_one_teacher_is_its_own_ensemble_and_scale_of_weights_does_not_matter(
    mean: Ensemble,
) -> None:
    z_BK = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    expected_BK = torch.log_softmax(z_BK / 3, 1)
    for weights, copies in (([2.0], 1), ([5.0, 5.0], 2)):
        log_probs_BK = ensemble_log_probs([z_BK] * copies, weights, 3.0, mean)
        torch.testing.assert_close(log_probs_BK, expected_BK)


@pytest.mark.parametrize("mean", MEANS)
def test_huge_logits_stay_finite(mean: Ensemble) -> None:
    z_BK = torch.tensor([[1e4, -1e4, 0.0]])
    log_probs_BK = ensemble_log_probs([z_BK, -z_BK], [1, 1], 0.5, mean)
    assert bool(torch.isfinite(log_probs_BK).all())


def test_in_float32_converts_floats_even_in_lists_and_disables_autocast() -> None:
    @in_float32
    def multiply(a: Tensor, others: list[Tensor], index: Tensor) -> Tensor:
        assert a.dtype is others[0].dtype is torch.float32 and index.dtype is torch.int64
        return a @ others[0]

    half = torch.ones(2, 2, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert multiply(half, [half], torch.zeros(1, dtype=torch.int64)).dtype is torch.float32
