"""Brings batches of a split's pixels to the device: kept there, or copied ahead of time."""

# B batch, C channels, H height, W width, N samples of the split

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kdcore.data.ahead import ahead
from kdcore.data.images import Split

DEPTH = 2  # batches prepared ahead


@dataclass(frozen=True)
class _Copied:
    """Pixels of a batch on the device; `ready`: recorded when the copy has finished."""

    pixels_BHWC: Tensor
    ready: torch.cuda.Event | None = None

    def wait(self) -> Tensor:
        """The pixels, safe to use in the current stream."""
        if self.ready is not None:
            stream = torch.cuda.current_stream(self.pixels_BHWC.device)
            stream.wait_event(self.ready)
            self.pixels_BHWC.record_stream(stream)
        return self.pixels_BHWC


class Pixels:
    """A split's uint8 images, kept on the device if they take less than half of its free memory.

    Otherwise a thread gathers, pins and copies batches while the device works on earlier ones. On a
    CPU a thread gathers ahead only if pixels are mapped from a file that may not fit into memory:
    that hides the disk's latency, but costs time if there is none.
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
        """The pixels of every batch of `indices`, in order, safe to use in the current stream."""
        copied = map(self._gather, indices)
        for batch in ahead(copied, DEPTH) if self.ahead else copied:
            yield batch.wait()

    def labels(self, index_B: Tensor) -> Tensor | None:
        """Class numbers on the device; None without labels."""
        if self.labels_N is None:
            return None
        return self.labels_N[index_B].to(self._device, non_blocking=True)

    def _gather(self, index_B: Tensor) -> _Copied:
        if self._images_NHWC.device.type == "cuda":
            return _Copied(self._images_NHWC[index_B.to(self._device, non_blocking=True)])
        if self._stream is None:
            if not self.ahead:
                return _Copied(self._images_NHWC[index_B])
            # NumPy copies in this thread and leaves torch's threads to the training.
            return _Copied(torch.from_numpy(np.take(self._images_NHWC.numpy(), index_B.numpy(), 0)))
        with torch.cuda.stream(self._stream):
            pinned_BHWC = torch.empty(
                (len(index_B), *self._images_NHWC.shape[1:]), dtype=torch.uint8, pin_memory=True
            )
            np.take(self._images_NHWC.numpy(), index_B.numpy(), 0, out=pinned_BHWC.numpy())
            pixels_BHWC = pinned_BHWC.to(self._device, non_blocking=True)
            ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
            ready.record(self._stream)
        return _Copied(pixels_BHWC, ready)


def _fits_memory(size_bytes: int) -> bool:
    """Whether half of the machine's memory can hold a file, so that the system keeps it cached."""
    return size_bytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def pixels_of(split: Split | Pixels, device: torch.device) -> Pixels:
    """The split's pixels for a device; a split that already is `Pixels` stays as it is."""
    return split if isinstance(split, Pixels) else Pixels(split, device)
