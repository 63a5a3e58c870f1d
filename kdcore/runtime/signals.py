"""SIGTERM and SIGINT: at once where nothing is half done, else at the next step boundary."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The run was asked to stop. Not an Exception, so that no library swallows it."""


class Stop:
    """Whether the run was asked to stop, and when it may be.

    At first a signal raises `Interrupted` at once; inside `deferred` it only sets `asked`, which
    `check` turns into the exception; inside `at_once` (a long pure computation within) it is
    raised at once again.
    """

    def __init__(self) -> None:
        self.asked = False
        self.alone = True  # else only what all processes agree on stops a training
        self._immediate = True

    def listen(self) -> None:
        """Take SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def ask(self) -> None:
        """Ask for a stop. Raises Interrupted where that is allowed at once."""
        self.asked = True
        if self._immediate:
            raise Interrupted

    def check(self) -> None:
        """Raise Interrupted if a stop was asked for."""
        if self.asked:
            raise Interrupted

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Stop only at `check`."""
        with self._set(False):
            yield

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Stop anywhere, unless other processes must stop too."""
        if not self.alone:
            yield
            return
        self.check()
        with self._set(True):
            yield

    @contextmanager
    def _set(self, immediate: bool) -> Iterator[None]:
        before, self._immediate = self._immediate, immediate
        try:
            yield
        finally:
            self._immediate = before

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.ask()
