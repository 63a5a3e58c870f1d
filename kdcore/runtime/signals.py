"""Turns SIGTERM and SIGINT into a stop: immediately, or at the next step boundary."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The run was asked to stop. Not an Exception, so that no library swallows it."""


class StopFlag:
    """Whether the run was asked to stop, and whether it may stop right now.

    Initially a request raises `Interrupted` immediately. Inside `deferred` it only sets
    `requested`, which the caller checks at step boundaries. Inside `immediate`, for a long
    computation without side effects, it raises again. `single_process`: if false, the processes of
    a run must agree on the step at which they stop, so `immediate` does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self.single_process = True
        self._raises = True

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT as requests to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def request(self) -> None:
        """Request a stop. Raises Interrupted unless it is deferred."""
        self.requested = True
        if self._raises:
            raise Interrupted

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a request only sets `requested`."""
        with self._set(False):
            yield

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Inside, a request, also one made before, raises Interrupted."""
        if not self.single_process:
            yield
            return
        if self.requested:
            raise Interrupted
        with self._set(True):
            yield

    @contextmanager
    def _set(self, raises: bool) -> Iterator[None]:
        before, self._raises = self._raises, raises
        try:
            yield
        finally:
            self._raises = before

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.request()
