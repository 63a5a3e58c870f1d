"""Batches of images on a device; order and augmentation are pure functions of the sample.

Every random choice is hashed from (seed, stage, epoch, sample index), so a run resumes anywhere
without a loader state, and the same sample looks the same in a batch of any size on any device.
"""

# B batch, C channels, H height, W width, N samples of the split

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from kdcore.data.counter import draw_below, hash_indices, shuffle
from kdcore.data.images import Split
from kdcore.errors import RunError
from kdcore.spec.parts import Data
from kdcore.spec.run import Input

# What a random number is for; part of its key.
ORDER, CROP_ROW, CROP_COLUMN, FLIP, HOLD_OUT = range(5)
VIEWS = 0  # in place of the seed, where views are limited: all seeds have the same ones
CROP_FRACTION = 8  # the padding is 1/8 of the side, rounded up
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: red, green, blue to grey


@dataclass(frozen=True)
class Batch:
    """Images in [0, 1], float32, channels last; `index_B` are positions in the split.

    `view`: which of a limited number of augmentations of each sample these images are; None where
    every epoch has its own. `host_index_B`: the positions on the CPU.
    """

    index_B: Tensor
    images_BCHW: Tensor
    labels_B: Tensor | None
    view: int | None = None
    host_index_B: Tensor | None = None


class Loader:
    """Training batches of the samples `indices` of a split; a short last batch is dropped.

    With fewer samples than the batch size, the batch is all of them. With `views`, a sample is
    augmented in so many ways, whatever the seed and the stage, and epochs show them in turn.
    """

    def __init__(
        self,
        split: Split,
        indices: Tensor,
        data: Data,
        seed: int,
        device: torch.device,
        views: int | None = None,
    ):
        if len(indices) == 0:
            raise ValueError("there are no samples to train on")
        self._pixels = _Pixels(split, device)
        self._index_N = indices.to("cpu", torch.int64)
        self._augment = data.augment
        self._seed = seed
        self.views = views if data.augment else 1
        self.batch_size = min(data.batch_size, len(indices))
        self.steps_per_epoch = len(indices) // self.batch_size

    def batches(self, stage: int, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `start_step` on."""
        order_N = shuffle(self._index_N, self._seed, stage, epoch, ORDER)
        view = None if self.views is None else epoch % self.views
        where = (self._seed, stage, epoch) if view is None else (VIEWS, 0, view)
        placement = self._placement(order_N, where)
        for step in range(start_step, self.steps_per_epoch):
            here = slice(step * self.batch_size, (step + 1) * self.batch_size)
            batch = self._pixels.batch(order_N[here], placement.part(here))
            yield replace(batch, view=view, host_index_B=order_N[here])

    def _placement(self, index_N: Tensor, where: tuple[int, int, int]) -> "_Placement":
        _, height, width, _ = self._pixels.shape
        placement = _Placement()
        if "crop" in self._augment:
            pad_h, pad_w = -(-height // CROP_FRACTION), -(-width // CROP_FRACTION)
            row_N = draw_below(2 * pad_h + 1, index_N, *where, CROP_ROW)
            column_N = draw_below(2 * pad_w + 1, index_N, *where, CROP_COLUMN)
            placement = _Placement((pad_h, pad_w), row_N, column_N)
        if "flip" in self._augment:
            flip_N = draw_below(2, index_N, *where, FLIP).bool()
            placement = replace(placement, flip_B=flip_N)
        return placement


@dataclass(frozen=True)
class _Placement:
    """Zeros around each image, the first row and column of its cut, and whether it is mirrored."""

    pad: tuple[int, int] = (0, 0)
    row_B: Tensor | None = None
    column_B: Tensor | None = None
    flip_B: Tensor | None = None

    def part(self, here: slice) -> "_Placement":
        tensors = (self.row_B, self.column_B, self.flip_B)
        return _Placement(self.pad, *(None if t is None else t[here] for t in tensors))


class _Pixels:
    """A split's uint8 images, kept on the device where they take less than half of its memory."""

    def __init__(self, split: Split, device: torch.device):
        images_NHWC = split.images_NCHW.permute(0, 2, 3, 1).contiguous()
        if device.type == "cuda" and images_NHWC.nbytes < torch.cuda.mem_get_info(device)[0] // 2:
            images_NHWC = images_NHWC.to(device)
        self._images_NHWC = images_NHWC
        self._labels_N = split.labels_N
        self._device = device
        self.shape = images_NHWC.shape

    def batch(self, index_B: Tensor, placement: _Placement) -> Batch:
        pixels_BHWC = self._images_NHWC[index_B.to(self._images_NHWC.device)].to(self._device)
        pixels_BHWC = self._place(pixels_BHWC, placement)
        # A product, because devices round a division by a number differently.
        images_BHWC = pixels_BHWC * (1 / 255)
        labels_B = None if self._labels_N is None else self._labels_N[index_B].to(self._device)
        return Batch(index_B.to(self._device), images_BHWC.permute(0, 3, 1, 2), labels_B)

    def _place(self, pixels_BHWC: Tensor, placement: _Placement) -> Tensor:
        if placement.row_B is not None and placement.column_B is not None:
            pad_h, pad_w = placement.pad
            padded_BHWC = functional.pad(pixels_BHWC, (0, 0, pad_w, pad_w, pad_h, pad_h))
            pixels_BHWC = _cut(
                padded_BHWC,
                placement.row_B.to(self._device),
                placement.column_B.to(self._device),
                (pixels_BHWC.shape[1], pixels_BHWC.shape[2]),
            )
        if placement.flip_B is not None:
            flip_B111 = placement.flip_B.to(self._device)[:, None, None, None]
            pixels_BHWC = torch.where(flip_B111, pixels_BHWC.flip(2), pixels_BHWC)
        return pixels_BHWC


def _cut(padded_BHWC: Tensor, row_B: Tensor, column_B: Tensor, size: tuple[int, int]) -> Tensor:
    """The window of `size` that starts at (row, column), of each image: one gather from a view
    that has every window."""
    batch, padded_h, padded_w, channels = padded_BHWC.shape
    height, width = size
    image, line, pixel, _ = padded_BHWC.stride()
    windows = padded_BHWC.as_strided(
        (batch, padded_h - height + 1, padded_w - width + 1, height, width * channels),
        (image, line, pixel, line, 1),
    )
    image_B = torch.arange(batch, device=padded_BHWC.device)
    return windows[image_B, row_B, column_B].view(batch, height, width, channels)


class Adapter(nn.Module):
    """Makes what one network wants of images in [0, 1] that have `channels` channels: its size
    (bilinear, antialiased), its channels (grey repeated, or colour to luma), (x - mean) / std.

    Raises RunError `channels_mismatch` for any other pair of channel counts.
    """

    _luma_C11: Tensor
    _mean_C11: Tensor
    _std_C11: Tensor

    def __init__(self, input: Input, channels: int):
        super().__init__()
        if channels != input.channels and {channels, input.channels} != {1, 3}:
            raise RunError(
                "channels_mismatch",
                f"the images have {channels} channels, the network reads {input.channels}",
                pointer="/input/channels",
            )
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
    split: Split, batch_size: int, device: torch.device, indices: Tensor | None = None
) -> Iterator[Batch]:
    """All samples (or those at `indices`), once, in order, unchanged; the last batch may be short.

    `index_B` are positions in the split.
    """
    if indices is None:
        indices = torch.arange(len(split.images_NCHW))
    pixels = _Pixels(split, device)
    for index_B in torch.split(indices, batch_size):
        yield pixels.batch(index_B, _Placement())


def hold_out(n: int, labels: Tensor | None, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Split 0..n-1 into (training, validation) indices, both ascending.

    Validation gets round(n * fraction), at least one where the fraction is above 0 and n above 1,
    with every class in proportion. A pure function of its arguments.
    """
    index_N = torch.arange(n)
    count = 0 if fraction == 0 or n < 2 else min(max(1, round(n * fraction)), n - 1)
    key_N = hash_indices(index_N, seed, HOLD_OUT)
    order_N = torch.argsort(key_N, stable=True)
    if labels is not None:
        order_N = order_N[torch.argsort(_rank_in_class(labels[order_N]), stable=True)]
    return order_N[count:].sort().values, order_N[:count].sort().values


def _rank_in_class(labels_N: Tensor) -> Tensor:
    """(position among its own class + 1/2) / class size, for each sample in the given order."""
    by_class_N = torch.argsort(labels_N, stable=True)
    _, sizes = torch.unique_consecutive(labels_N[by_class_N], return_counts=True)
    starts = sizes.cumsum(0) - sizes
    position_N = torch.arange(len(labels_N)) - starts.repeat_interleave(sizes)
    rank_N = torch.empty(len(labels_N), dtype=torch.float64)
    rank_N[by_class_N] = (position_N.double() + 0.5) / sizes.repeat_interleave(sizes)
    return rank_N


def data_statistics(split: Split, indices: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in [0, 1], of the pixels of these samples; a
    constant channel gets the deviation 1."""
    total = torch.zeros(split.images_NCHW.shape[1], dtype=torch.int64)
    squares = torch.zeros_like(total)
    pixels = 0
    for index_B in torch.split(indices, 128):
        images_BCHW = split.images_NCHW[index_B].to(torch.int64)
        total += images_BCHW.sum((0, 2, 3))
        squares += images_BCHW.square().sum((0, 2, 3))
        pixels += images_BCHW[:, 0].numel()
    mean = total.double() / pixels
    variance = (squares.double() / pixels - mean.square()).clamp(min=0)
    std = torch.where(variance > 0, variance.sqrt() / 255, 1.0)
    return tuple((mean / 255).tolist()), tuple(std.tolist())
