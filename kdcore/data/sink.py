"""Where decoded pixels go: memory, or nowhere when they are only to be checked, or (pack) files."""

# N samples, C channels, H height, W width

import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from kdcore.data.images import MAX_BYTES

NOTE_S = 30.0

Shape = tuple[int, int, int, int]
"""Samples, channels, height, width."""

LogFn = Callable[[str], None]
"""Takes a line for a person."""


class Sink(Protocol):
    """Room for the pixels of a dataset. `limit`: bytes that one split may have; `needed`: whether
    pixels that lie in memory already must still be copied into it."""

    limit: int
    needed: bool

    def allocate(self, split: str, shape: Shape) -> Tensor:
        """Uint8 images_NCHW, channels last, to be filled one after the other."""

    def told(self, split: str, done: int, total: int) -> None:
        """So many of the split's images are there."""


class LoggingSink:
    """Tells how far it is every half minute: who watches a run takes silence for death."""

    def __init__(self, doing: str, log: LogFn):
        self._doing = doing
        self._note = log
        self._noted_s = time.monotonic()

    def told(self, split: str, done: int, total: int) -> None:
        """As in Room."""
        if time.monotonic() - self._noted_s >= NOTE_S:
            self._noted_s = time.monotonic()
            self._note(f"{self._doing} the dataset: {done} of {total} images of {split}")


class MemorySink(LoggingSink):
    """Room in memory."""

    limit = MAX_BYTES
    needed = False

    def __init__(self, log: LogFn = lambda _: None):
        super().__init__("reading", log)

    def allocate(self, split: str, shape: Shape) -> Tensor:
        """As in Room."""
        return torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)


class NullSink(LoggingSink):
    """Room for one image, the next in place of the last: to see that all can be decoded."""

    limit = 2**62
    needed = False

    def __init__(self, log: LogFn = lambda _: None):
        super().__init__("checking", log)

    def allocate(self, split: str, shape: Shape) -> Tensor:
        """As in Room: as many images as asked for, all in the same place."""
        one_1CHW = torch.empty((1, *shape[1:]), dtype=torch.uint8)
        return one_1CHW.expand(shape)
