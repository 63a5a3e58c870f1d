"""Arithmetic that methods share: in float32 whatever the inputs, in log space if it can overflow.

B: batch, K: classes.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from kdcore.spec.recipe import Ensemble

P = ParamSpec("P")
R = TypeVar("R")


def in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """Run `function` outside autocast with every floating tensor argument as float32.

    Tensors inside lists and tuples are converted too. Gradients return in the caller's dtype.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            floats = tuple(_to_float32(a) for a in args)
            return function(*floats, **{k: _to_float32(v) for k, v in kwargs.items()})

    return wrapper


def _to_float32(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, (list, tuple)):
        return type(value)(_to_float32(v) for v in value)
    return value


@in_float32
def ensemble_log_probs(
    logits_BK: Sequence[Tensor], weights: Sequence[float], temperature: float, mean: Ensemble
) -> Tensor:
    """Log of the networks' mean class probabilities at `temperature`, log_probs_BK.

    `arithmetic`: log sum_i w_i softmax(z_i / T). `geometric`: the normalised product of
    softmax(z_i / T)^w_i, which is softmax(sum_i w_i z_i / T) exactly. Weights are taken relative
    to their sum. Source: Hinton, Vinyals & Dean 2015, section 1.
    """
    share = [w / sum(weights) for w in weights]
    if mean == "geometric":
        mixed_BK = torch.stack([z * w for z, w in zip(logits_BK, share, strict=True)]).sum(0)
        return torch.log_softmax(mixed_BK / temperature, dim=1)
    logs = torch.log(torch.tensor(share, device=logits_BK[0].device))
    log_probs_NBK = torch.stack([torch.log_softmax(z / temperature, dim=1) for z in logits_BK])
    return torch.logsumexp(log_probs_NBK + logs[:, None, None], dim=0)


@in_float32
def softened_divergence(
    logits_BK: Tensor, teacher_log_probs_BK: Tensor, temperature: float
) -> Tensor:
    """T^2 KL(teacher || softmax(logits / T)), summed over classes, mean over the batch.

    `teacher_log_probs_BK`: log-probabilities at the same temperature. T^2 keeps the gradient's
    size as T changes. Source: Hinton, Vinyals & Dean 2015, section 2.
    """
    log_probs_BK = torch.log_softmax(logits_BK / temperature, dim=1)
    divergence = functional.kl_div(
        log_probs_BK, teacher_log_probs_BK, reduction="batchmean", log_target=True
    )
    return divergence * temperature**2
