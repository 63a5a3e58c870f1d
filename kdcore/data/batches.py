"""Makes batches of images on a device; order and augmentation are pure functions of the sample.

Every random choice is hashed from (seed, stage, epoch, sample index), so a run resumes anywhere
without a loader state, and a sample looks the same in a batch of any size on any device.
"""

# B batch, C channels, H height, W width, N samples of the split
# P: 1, or 2 if images are mixed: the own samples and their partners

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.augment.colour import LUMA
from kdcore.data.augment.draws import DrawKey, Drawn, Purpose
from kdcore.data.augment.mix import Mixer
from kdcore.data.augment.policy import Policy, columns_of
from kdcore.data.counter import hash_indices, shuffle
from kdcore.data.images import Split
from kdcore.data.pixels import Pixels, pixels_of
from kdcore.runtime.errors import pointing, refuse
from kdcore.spec.augment import Cutmix, Mixup, mixes, with_knobs
from kdcore.spec.fit import unreadable_channels
from kdcore.spec.recipe import Data
from kdcore.spec.run import Input

VIEWS_SEED = 0  # replaces the seed if views are limited: all seeds share the same views
SPAN = 2**16  # samples whose augmentations are drawn together


@dataclass(frozen=True)
class Mix:
    """What each image was mixed with: position in the split, class number if there are labels,
    and the own image's share in [0, 1], float32."""

    index_B: Tensor
    labels_B: Tensor | None
    share_B: Tensor


@dataclass(frozen=True)
class Batch:
    """Images in [0, 1], float32, channels last, with their positions in the split and labels.

    Mixed images have the position and the label of the own image; see `mix` for the other.
    `view`: which of a limited number of augmentations the images have; None if every epoch has its
    own. `host_index_B`: `index_B` on the CPU.
    """

    index_B: Tensor
    images_BCHW: Tensor
    labels_B: Tensor | None
    mix: Mix | None = None
    view: int | None = None
    host_index_B: Tensor | None = None


class Loader:
    """Makes training batches of the samples `indices` of a split; drops a short last batch.

    With fewer samples than the batch size, the batch is all of them. With `views`, an image has
    that many augmentations, the same for every seed and stage, which epochs show in turn; the order
    is still different in every epoch.
    """

    def __init__(
        self,
        split: Split | Pixels,
        indices: Tensor,
        data: Data,
        seed: int,
        device: torch.device,
        views: int | None = None,
    ):
        if len(indices) == 0:
            raise ValueError("there are no samples to train on")
        assert views is None or not mixes(data.augment), "the spec refuses views of mixed images"
        self._pixels = pixels_of(split, device)
        self._index_N = indices.to("cpu", torch.int64)
        self._policy = Policy(data.augment, self._pixels.stored, self._pixels.size)
        self._mixer = _mixer(data, self._index_N, self._pixels)
        self._seed = seed
        self.views = views if data.augment else 1
        self._device = device
        self.batch_size = min(data.batch_size, len(indices))
        self.steps_per_epoch = len(indices) // self.batch_size

    def view_of(self, epoch: int) -> int | None:
        """The view that an epoch shows; None if every epoch has its own."""
        return None if self.views is None else epoch % self.views

    def batches(self, stage: int, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `start_step` on."""
        order_N = shuffle(self._index_N, self._seed, stage, epoch, Purpose.ORDER)
        used_N = order_N[start_step * self.batch_size : self.steps_per_epoch * self.batch_size]
        view = self.view_of(epoch)
        key = (self._seed, stage, epoch) if view is None else (VIEWS_SEED, 0, view)
        steps_per_span = max(1, SPAN // self.batch_size)
        for span_N in torch.split(used_N, steps_per_span * self.batch_size):
            for batch in self._span(span_N, key):
                yield replace(batch, view=view)

    def _span(self, index_N: Tensor, key: DrawKey) -> Iterator[Batch]:
        """The batches of consecutive samples."""
        index_PN, shares = index_N[None], {}
        if self._mixer is not None:
            index_PN = torch.stack([index_N, self._mixer.partner(index_N, key)])
            shares = self._mixer.draw(index_N, key)
        drawn = self._policy.draw(index_PN, key)
        rows = [
            index_PN[:, start : start + self.batch_size]
            for start in range(0, len(index_N), self.batch_size)
        ]
        pixels = self._pixels.gather(index_PB.flatten() for index_PB in rows)
        for number, pixels_BHWC in enumerate(pixels):
            start, end = number * self.batch_size, (number + 1) * self.batch_size
            images_BHWC = self._policy.apply(pixels_BHWC, columns_of(drawn, start, end))
            share = {name: row_N[start:end] for name, row_N in shares.items()}
            yield self._batch(rows[number], images_BHWC, share)

    def _batch(self, index_PB: Tensor, images_BHWC: Tensor, share: Drawn) -> Batch:
        mix = None
        if self._mixer is not None:
            own_BHWC, partners_BHWC = images_BHWC.chunk(2)
            images_BHWC = self._mixer.apply(own_BHWC, partners_BHWC, share)
            partner_B, share_B = index_PB[1], share["share"]
            labels_B = self._pixels.labels(partner_B)
            mix = Mix(self._to_device(partner_B), labels_B, self._to_device(share_B))
        index_B, labels_B = index_PB[0], self._pixels.labels(index_PB[0])
        images_BCHW = images_BHWC.permute(0, 3, 1, 2)
        return Batch(self._to_device(index_B), images_BCHW, labels_B, mix, host_index_B=index_B)

    def _to_device(self, values_B: Tensor) -> Tensor:
        return values_B.to(self._device, non_blocking=True)


def _mixer(data: Data, pool_N: Tensor, pixels: Pixels) -> Mixer | None:
    knobs = with_knobs(data.augment)
    mixup, cutmix = knobs.get("mixup"), knobs.get("cutmix")
    if mixup is None and cutmix is None:
        return None
    assert isinstance(mixup, Mixup | None) and isinstance(cutmix, Cutmix | None)
    return Mixer(mixup, cutmix, pool_N, pixels.size)


class Adapter(nn.Module):
    """Converts images in [0, 1] with `channels` channels into a network's input.

    Resizes (bilinear, antialiased), adapts the channels (grey repeated, or colour to luma) and
    normalises, (x - mean) / std. Raises RunError `channels_mismatch` for any other combination of
    channel counts.
    """

    _luma_C11: Tensor
    _mean_C11: Tensor
    _std_C11: Tensor

    def __init__(self, input: Input, channels: int):
        super().__init__()
        with pointing("/input/channels"):
            refuse(unreadable_channels(channels, input.channels))
        self._size = (input.height, input.width)
        self._to_grey = channels == 3 and input.channels == 1
        self._to_colour = channels == 1 and input.channels == 3
        for name, value in (("luma", LUMA), ("mean", input.mean), ("std", input.std)):
            value_C11 = torch.tensor(value, dtype=torch.float32).view(-1, 1, 1)
            self.register_buffer(f"_{name}_C11", value_C11, persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if self._to_grey:
            x_BCHW = (x_BCHW * self._luma_C11).sum(1, keepdim=True)
        if x_BCHW.shape[2:] != self._size:
            x_BCHW = functional.interpolate(
                x_BCHW, self._size, mode="bilinear", align_corners=False, antialias=True
            )
        if self._to_colour:
            x_BCHW = x_BCHW.expand(-1, 3, -1, -1)
        return (x_BCHW - self._mean_C11) / self._std_C11


def eval_batches(
    split: Split | Pixels, batch_size: int, device: torch.device, indices: Tensor | None = None
) -> Iterator[Batch]:
    """Every sample, or those at `indices`, once, in order, without augmentation.

    Images stored with a margin are cut to their centre. The last batch may be short. `index_B` are
    positions in the split.
    """
    pixels = pixels_of(split, device)
    if indices is None:
        indices = torch.arange(len(pixels))
    policy = Policy((), pixels.stored, pixels.size)
    batches = torch.split(indices, batch_size)
    for index_B, pixels_BHWC in zip(batches, pixels.gather(batches), strict=True):
        images_BHWC = policy.apply(pixels_BHWC, policy.draw(index_B, (0, 0, 0)))
        images_BCHW = images_BHWC.permute(0, 3, 1, 2)
        yield Batch(index_B.to(device, non_blocking=True), images_BCHW, pixels.labels(index_B))


def hold_out(n: int, labels: Tensor | None, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split 0..n-1 into (training, validation) indices, both ascending.

    Validation gets round(n * fraction) samples, with every class in proportion, and at least one if
    the fraction is above 0 and n above 1. A pure function of its arguments.
    """
    index_N = torch.arange(n)
    count = 0 if fraction == 0 or n < 2 else min(max(1, round(n * fraction)), n - 1)
    key_N = hash_indices(index_N, seed, Purpose.HOLD_OUT)
    order_N = torch.argsort(key_N, stable=True)
    if labels is not None:
        order_N = order_N[torch.argsort(_rank_in_class(labels[order_N]), stable=True)]
    return order_N[count:].sort().values, order_N[:count].sort().values


def _rank_in_class(labels_N: Tensor) -> Tensor:
    """(Position among its class + 1/2) / class size, for each sample in the given order."""
    by_class_N = torch.argsort(labels_N, stable=True)
    _, sizes = torch.unique_consecutive(labels_N[by_class_N], return_counts=True)
    starts = sizes.cumsum(0) - sizes
    position_N = torch.arange(len(labels_N)) - starts.repeat_interleave(sizes)
    rank_N = torch.empty(len(labels_N), dtype=torch.float64)
    rank_N[by_class_N] = (position_N.double() + 0.5) / sizes.repeat_interleave(sizes)
    return rank_N
