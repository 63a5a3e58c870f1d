"""Scores networks on images in a fixed order: accuracy, cross-entropy, agreement with the teachers.

Scores are always computed in float32 and evaluation mode.

B: batch, C: channels, H, W: height and width, K: classes, N: samples.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.batches import Batch, eval_batches
from kdcore.data.images import Split
from kdcore.data.pixels import Pixels
from kdcore.objectives.numerics import ensemble_log_probs
from kdcore.runtime.device import ChannelsLast, Device
from kdcore.runtime.errors import RunError
from kdcore.spec.codes import RunCode
from kdcore.spec.recipe import Ensemble
from kdcore.spec.result import Score
from kdcore.teacher_cache.output_cache import CachedScores
from kdcore.training.teachers import Teacher

LATENCY_RUNS, LATENCY_WARM_UP, LATENCY_LIMIT_S = 30, 5, 3.0

Scorer = Callable[[Tensor], Tensor]
"""Computes class scores (logits or log-probabilities) of images: images_BCHW to scores_BK."""


class EvalSet:
    """Images to score networks on.

    `teacher_top_N`: the teachers' top class of each image, once `score_teachers` has set it.
    `content`: the split's fingerprint, if the teachers' scores are to be cached.
    """

    def __init__(
        self,
        split: Split | Pixels,
        indices: Tensor | None,
        batch_size: int,
        device: torch.device,
        content: str | None = None,
    ):
        self._source = (split, batch_size, device, indices)
        self.indices, self.content = indices, content
        self.teacher_top_N: Tensor | None = None
        self.labelled = split.labels_N is not None

    def batches(self) -> Iterator[Batch]:
        """All images without augmentation, always in the same order."""
        return eval_batches(*self._source)


def scorer_of(network: nn.Module, adapter: nn.Module) -> Scorer:
    """A scorer of images in [0, 1]; puts the network into evaluation mode."""
    network.eval()

    def run(images_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = network(adapter(images_BCHW))
        return logits_BK

    return run


def ensemble_of(teachers: Sequence[Teacher], mean: Ensemble) -> Scorer:
    """A scorer by the log of the teachers' mean class probabilities, at temperature 1."""
    scorers = [scorer_of(t.network, t.adapter) for t in teachers]
    weights = [t.weight for t in teachers]

    def run(images_BCHW: Tensor) -> Tensor:
        return ensemble_log_probs([s(images_BCHW) for s in scorers], weights, 1.0, mean)

    return run


def score(
    scorer: Scorer,
    eval_set: EvalSet,
    name: str,
    *,
    labelled: bool = True,
    failure: RunCode = RunCode.DIVERGED,
) -> tuple[Score, Tensor]:
    """Score a network on an evaluation set; returns the score and its top class per image, top_N.

    `labelled`: whether labels, if there are any, are classes of this network. Raises RunError with
    the code `failure` if class scores are not finite.
    """
    labelled = labelled and eval_set.labelled
    tops: list[Tensor] = []
    sums = torch.zeros(3, dtype=torch.float64, device="cpu")
    with torch.inference_mode():
        for batch in eval_set.batches():
            scores_BK = scorer(batch.images_BCHW).float()
            tops.append(scores_BK.argmax(1))
            sums = sums.to(scores_BK.device) + _sums(scores_BK, batch.labels_B, labelled)
        top_N = torch.cat(tops)
        right, loss, bad = (float(v) for v in sums.tolist())
        teacher_top_N = eval_set.teacher_top_N
        agreed = None if teacher_top_N is None else float((top_N == teacher_top_N.to(top_N)).sum())
    if bad:
        raise RunError(failure, f"the class scores of {name} are not finite (NaN or infinity)")
    count = len(top_N)
    result = Score(
        accuracy=right / count if labelled else None,
        loss=loss / count if labelled else None,
        samples=count,
        agreement=None if agreed is None else agreed / count,
    )
    return result, top_N


def _sums(scores_BK: Tensor, labels_B: Tensor | None, labelled: bool) -> Tensor:
    """Number of correct answers, summed cross-entropy, and 1 if any score is not finite."""
    bad = (~torch.isfinite(scores_BK).all()).double()
    if not labelled or labels_B is None:
        return torch.stack([torch.zeros_like(bad), torch.zeros_like(bad), bad])
    loss = functional.cross_entropy(scores_BK, labels_B, reduction="sum").double()
    return torch.stack([(scores_BK.argmax(1) == labels_B).sum().double(), loss, bad])


@dataclass(frozen=True)
class TeacherScores:
    """The score of each teacher, and that of their mean if there are several."""

    each: tuple[Score, ...]
    ensemble: Score | None = None

    @property
    def accuracy(self) -> float | None:
        """The accuracy of the ensemble, or of the only teacher."""
        if self.ensemble is not None:
            return self.ensemble.accuracy
        return self.each[0].accuracy if len(self.each) == 1 else None


def cached_teacher_scores(
    teachers: Sequence[Teacher],
    mean: Ensemble,
    num_classes: int,
    eval_set: EvalSet,
    cached: CachedScores,
) -> TeacherScores:
    """Like `score_teachers`, but read the scores if they are cached, and cache them if not."""
    found = cached.load()
    if found is None:
        scores = score_teachers(teachers, mean, num_classes, eval_set)
        more = [] if scores.ensemble is None else [scores.ensemble]
        cached.save([*scores.each, *more], eval_set.teacher_top_N)
        return scores
    scored, eval_set.teacher_top_N = found
    each, more = scored[: len(teachers)], scored[len(teachers) :]
    return TeacherScores(tuple(each), more[0] if more else None)


def score_teachers(
    teachers: Sequence[Teacher], mean: Ensemble, num_classes: int, eval_set: EvalSet
) -> TeacherScores:
    """Score every teacher, and set the evaluation set's `teacher_top_N` to their joint answers.

    A teacher with other classes than the dataset's has no accuracy, and `teacher_top_N` stays None.
    Raises RunError `teacher_not_finite`.
    """
    failure = RunCode.TEACHER_NOT_FINITE
    fitting = [t.spec.num_classes == num_classes for t in teachers]
    together, top_N = None, None
    if len(teachers) > 1 and all(fitting):
        together, top_N = score(
            ensemble_of(teachers, mean), eval_set, "the teachers", failure=failure
        )
        eval_set.teacher_top_N = top_N
    each: list[Score] = []
    for teacher, fits in zip(teachers, fitting, strict=True):
        scorer = scorer_of(teacher.network, teacher.adapter)
        scored, top_N = score(scorer, eval_set, teacher.name, labelled=fits, failure=failure)
        each.append(scored)
    if len(teachers) == 1 and all(fitting):
        eval_set.teacher_top_N = top_N
    return TeacherScores(tuple(each), together)


def latency_ms(network: nn.Module, x_1CHW: Tensor, device: Device) -> float:
    """Median time of one image in a batch of 1, in milliseconds, after a warm-up.

    Measures for about 3 s at most.
    """
    network.eval()
    x_1CHW = ChannelsLast()(x_1CHW)
    times_s: list[float] = []
    begin_s = time.perf_counter()
    with torch.inference_mode():
        for run in range(LATENCY_WARM_UP + LATENCY_RUNS):
            start_s = time.perf_counter()
            network(x_1CHW)
            device.synchronize()
            end_s = time.perf_counter()
            if run >= LATENCY_WARM_UP or end_s - begin_s > LATENCY_LIMIT_S:
                times_s.append(end_s - start_s)
            if end_s - begin_s > LATENCY_LIMIT_S:
                break
    return statistics.median(times_s) * 1000
