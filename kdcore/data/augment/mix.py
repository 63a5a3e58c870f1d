"""Mixup and CutMix: mixes each image with another; partner and share are drawn per image."""

# B batch, H height, W width, C channels, N samples, Q quantiles

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdcore.data.augment.cutout import inside
from kdcore.data.augment.draws import DrawKey, Drawn, Purpose, draw_between, per_image
from kdcore.data.counter import draw_below, draw_unit
from kdcore.data.images import Size
from kdcore.spec.augment import Cutmix, Mixup

QUANTILES = 2048  # of the lower half of a Beta distribution
TERMS = 200  # of a series whose later terms halve each time


@dataclass(frozen=True)
class Mixer:
    """Mixes images with partners from `pool_N`, all samples that are trained on.

    Departure from the papers: partner and share are drawn per image, not per batch, so that an
    image does not depend on its batch.
    """

    mixup: Mixup | None
    cutmix: Cutmix | None
    pool_N: Tensor
    size: Size

    def partner(self, index_N: Tensor, key: DrawKey) -> Tensor:
        """Draw the sample that each one is mixed with, possibly itself."""
        return self.pool_N[draw_below(len(self.pool_N), index_N, *key, Purpose.PARTNER)]

    def draw(self, index_N: Tensor, key: DrawKey) -> Drawn:
        """Draw the own share, and the bounds of the partner's rectangle, empty for mixup."""
        drawn = draw_unit(index_N, *key, Purpose.MIX)
        share_N = torch.ones_like(drawn)
        cut_N = self._kind(index_N, key)
        for knobs, of_kind_N in ((self.mixup, ~cut_N), (self.cutmix, cut_N)):
            if knobs is not None:
                chosen_N = of_kind_N & (drawn < knobs.probability)
                unit_N = draw_unit(index_N, *key, Purpose.MIX_SHARE)
                share_N = torch.where(chosen_N, beta(knobs.alpha, unit_N), share_N)
        box = self._box(index_N, key, torch.where(cut_N, share_N, 1.0))
        area_N = (box["bottom"] - box["top"]) * (box["right"] - box["left"])
        kept_N = 1 - area_N.double() / (self.size[0] * self.size[1])
        return {"share": torch.where(cut_N, kept_N, share_N).float(), "cut": cut_N, **box}

    def apply(self, images_BHWC: Tensor, partners_BHWC: Tensor, drawn: Drawn) -> Tensor:
        """Mix the images."""
        mixed_BHWC = images_BHWC
        if self.mixup is not None:
            # An image with a cut-out rectangle is not blended as well.
            share_B111 = per_image(drawn["share"].where(~drawn["cut"], 1.0), images_BHWC)
            mixed_BHWC = images_BHWC * share_B111 + partners_BHWC * (1 - share_B111)
        if self.cutmix is not None:
            inside_BHW1 = inside(drawn, self.size, images_BHWC.device)
            mixed_BHWC = torch.where(inside_BHW1, partners_BHWC, mixed_BHWC)
        return mixed_BHWC

    def _kind(self, index_N: Tensor, key: DrawKey) -> Tensor:
        """Whether an image gets a rectangle (CutMix) rather than being blended (mixup)."""
        if self.mixup is None or self.cutmix is None:
            return torch.full(index_N.shape, self.mixup is None)
        return draw_unit(index_N, *key, Purpose.MIX_KIND) < 0.5

    def _box(self, index_N: Tensor, key: DrawKey, share_N: Tensor) -> Drawn:
        """A rectangle of the image's aspect ratio around a random point, clipped at the borders.

        Empty if the share is 1. Source: Yun et al. 2019, section 3.1.
        """
        side_N = (1 - share_N).sqrt()
        box = {}
        axes = (("top", "bottom", Purpose.BOX_ROW), ("left", "right", Purpose.BOX_COLUMN))
        for length, (start, end, purpose) in zip(self.size, axes, strict=True):
            centre_N = draw_between(0, length, index_N, *key, purpose)
            half_N = side_N * length / 2
            box[start] = (centre_N - half_N).round().clamp(0, length).long()
            box[end] = (centre_N + half_N).round().clamp(0, length).long()
        return box


def beta(alpha: float, unit: Tensor) -> Tensor:
    """Quantiles of Beta(alpha, alpha) at `unit`, in (0, 1); turns uniform numbers into samples."""
    lower = np.minimum(unit.numpy(), 1 - unit.numpy())
    grid_Q = np.linspace(0.0, 0.5, QUANTILES + 1)
    value = torch.from_numpy(np.interp(lower, grid_Q, _lower_quantiles(alpha)))
    return torch.where(unit < 0.5, value, 1 - value)


@cache
def _lower_quantiles(alpha: float) -> NDArray[np.float64]:
    """Quantiles of Beta(alpha, alpha) at even steps from 0 to 1/2, by bisection."""
    wanted_Q = np.linspace(0.0, 0.5, QUANTILES + 1)
    low_Q, high_Q = np.zeros_like(wanted_Q), np.full_like(wanted_Q, 0.5)
    top = _lower_part(alpha, np.array([0.5]))
    for _ in range(54):
        middle_Q = (low_Q + high_Q) / 2
        below_Q = 0.5 * _lower_part(alpha, middle_Q) / top < wanted_Q
        low_Q, high_Q = np.where(below_Q, middle_Q, low_Q), np.where(below_Q, high_Q, middle_Q)
    return np.concatenate([[0.0], high_Q[1:-1], [0.5]])


def _lower_part(alpha: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distribution function of Beta(alpha, alpha) at x in [0, 1/2], up to a constant factor.

    The series x^a (1 - x)^a sum_n prod_k x (2 a + k) / (a + 1 + k) has only positive terms
    (Abramowitz & Stegun 1964, 26.5.4).
    """
    n = np.arange(TERMS)[:, None]
    terms = np.cumprod(x[None] * (2 * alpha + n) / (alpha + 1 + n), axis=0)
    total: NDArray[np.float64] = (x * (1 - x)) ** alpha * (1 + terms.sum(0))
    return total
