"""Progress as one line of text that rewrites itself, on a terminal or in a notebook."""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from distillery.sdk.format import percent, size

ShowFn = Callable[[str], None]
OnProgress = Callable[[int, int], None]  # bytes done, bytes in all
REFRESH_S = 0.1


class Progress:
    """Where progress is shown. `enabled` None: on a terminal and in a notebook, not elsewhere."""

    def __init__(self, enabled: bool | None = None):
        self._out = _output() if enabled is None else sys.stderr if enabled else None

    @contextmanager
    def line(self) -> Iterator[ShowFn]:
        """Yield a function that replaces the line's text; the line is erased at the end."""
        if self._out is None:
            yield lambda _: None
            return
        line = _Line(self._out)
        try:
            yield line.show
        finally:
            line.erase()

    @contextmanager
    def transfer(self, what: str) -> Iterator[OnProgress]:
        """Yield a callback for bytes done and bytes in all of the transfer `what`."""
        with self.line() as show:
            yield lambda done, total: show(
                f"{what}  {percent(done / total if total else 1.0)} of {size(total)}"
            )


class _Line:
    """A line that is written over, at most ten times a second."""

    def __init__(self, out: TextIO):
        self._out = out
        self._width = 0
        self._written_s = 0.0

    def show(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._written_s >= REFRESH_S:
            self._written_s = now_s
            self._write(text[: shutil.get_terminal_size().columns - 1])

    def erase(self) -> None:
        if self._width:
            self._write("")
            self._out.write("\r")
            self._out.flush()

    def _write(self, text: str) -> None:
        self._out.write("\r" + text.ljust(self._width))
        self._out.flush()
        self._width = len(text)


def _output() -> TextIO | None:
    if "ipykernel" in sys.modules:
        return sys.stdout  # notebooks paint stderr red
    return sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None
