"""Receives decoded pixels: in memory, in files (`pack`), or nowhere if they are only checked."""

# N samples, C channels, H height, W width

import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from kdcore.data.images import MAX_BYTES

LOG_EVERY_S = 30.0

Shape = tuple[int, int, int, int]
"""Samples, channels, height, width."""

LogFn = Callable[[str], None]
"""Logs a line for people."""


class Sink(Protocol):
    """Storage for the pixels of a dataset.

    `limit`: bytes that one split may have. `needed`: whether pixels must be copied into it even if
    they are in memory already.
    """

    limit: int
    needed: bool

    def allocate(self, split: str, shape: Shape) -> Tensor:
        """Allocate images_NCHW (uint8, channels last), to be filled one image after the other."""

    def progress(self, split: str, done: int, total: int) -> None:
        """Called when `done` of the split's `total` images are stored."""


class LoggingSink:
    """Logs progress every 30 s; the worker kills a run that stays silent."""

    def __init__(self, doing: str, log: LogFn):
        self._doing = doing
        self._log = log
        self._logged_s = time.monotonic()

    def progress(self, split: str, done: int, total: int) -> None:
        """See Sink."""
        if time.monotonic() - self._logged_s >= LOG_EVERY_S:
            self._logged_s = time.monotonic()
            self._log(f"{self._doing} the dataset: {done} of {total} images of {split}")


class MemorySink(LoggingSink):
    """Stores pixels in memory."""

    limit = MAX_BYTES
    needed = False

    def __init__(self, log: LogFn = lambda _: None):
        super().__init__("reading", log)

    def allocate(self, split: str, shape: Shape) -> Tensor:
        """See Sink."""
        return torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)


class NullSink(LoggingSink):
    """Stores one image, each overwriting the one before, to check that all can be decoded."""

    limit = 2**62
    needed = False

    def __init__(self, log: LogFn = lambda _: None):
        super().__init__("checking", log)

    def allocate(self, split: str, shape: Shape) -> Tensor:
        """See Sink; all images share the memory of one."""
        one_1CHW = torch.empty((1, *shape[1:]), dtype=torch.uint8)
        return one_1CHW.expand(shape)
