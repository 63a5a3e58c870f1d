"""A split's pixels, and how batches of them come to the device: resident there, or copied ahead."""

# B batch, C channels, H height, W width, N samples of the split

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kdcore.data.ahead import ahead
from kdcore.data.images import Split

DEPTH = 2  # batches that wait, ready


@dataclass(frozen=True)
class Raw:
    """Pixels of a batch on the device, unchanged; `ready`: recorded once they are there."""

    pixels_BHWC: Tensor
    ready: torch.cuda.Event | None = None

    def wait(self) -> Tensor:
        """The pixels, safe for the current stream."""
        if self.ready is not None:
            stream = torch.cuda.current_stream(self.pixels_BHWC.device)
            stream.wait_event(self.ready)
            self.pixels_BHWC.record_stream(stream)
        return self.pixels_BHWC


class Pixels:
    """A split's uint8 images, kept on the device where they take less than half of its memory.

    Where they do not stay there, batches are gathered, pinned and copied in a thread, while the
    device works on the batches before. On a CPU that is done for pixels mapped from a file that
    need not fit into memory: it hides the disk, and costs time where nothing is to be waited for.
    """

    def __init__(self, split: Split, device: torch.device):
        images_NHWC = split.images_NCHW.permute(0, 2, 3, 1).contiguous()
        if device.type == "cuda" and images_NHWC.nbytes < torch.cuda.mem_get_info(device)[0] // 2:
            images_NHWC = images_NHWC.to(device)
        self._images_NHWC = images_NHWC
        self.labels_N = split.labels_N
        self._device = device
        away = device.type == "cuda" and images_NHWC.device.type == "cpu"
        self._stream = torch.cuda.Stream(device) if away else None  # type: ignore[no-untyped-call]
        self.ahead = away or (split.mapped and not _fits_memory(images_NHWC.nbytes))
        self.stored = (images_NHWC.shape[1], images_NHWC.shape[2])
        self.size = split.size or self.stored

    def __len__(self) -> int:
        return len(self._images_NHWC)

    def gather(self, indices: Iterable[Tensor]) -> Iterator[Tensor]:
        """The pixels of every batch of `indices`, in order, safe for the current stream; ahead of
        time where that helps."""
        raws = map(self._gather, indices)
        for raw in ahead(raws, DEPTH) if self.ahead else raws:
            yield raw.wait()

    def labels(self, index_B: Tensor) -> Tensor | None:
        """Class numbers on the device, if there are any."""
        if self.labels_N is None:
            return None
        return self.labels_N[index_B].to(self._device, non_blocking=True)

    def _gather(self, index_B: Tensor) -> Raw:
        if self._images_NHWC.device.type == "cuda":
            return Raw(self._images_NHWC[index_B.to(self._device, non_blocking=True)])
        if self._stream is None:
            if not self.ahead:
                return Raw(self._images_NHWC[index_B])
            # NumPy's copy leaves torch's threads alone: they are the training's.
            return Raw(torch.from_numpy(np.take(self._images_NHWC.numpy(), index_B.numpy(), 0)))
        with torch.cuda.stream(self._stream):
            pinned_BHWC = torch.empty(
                (len(index_B), *self._images_NHWC.shape[1:]), dtype=torch.uint8, pin_memory=True
            )
            np.take(self._images_NHWC.numpy(), index_B.numpy(), 0, out=pinned_BHWC.numpy())
            pixels_BHWC = pinned_BHWC.to(self._device, non_blocking=True)
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record(self._stream)
        return Raw(pixels_BHWC, ready)


def _fits_memory(size_bytes: int) -> bool:
    """Whether half of the machine's memory holds so much: the system keeps the file there then."""
    return size_bytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def pixels_of(split: Split | Pixels, device: torch.device) -> Pixels:
    """The split's pixels for a device; those that are there already stay."""
    return split if isinstance(split, Pixels) else Pixels(split, device)
