"""A thread that does one small thing over and over until it is told to stop."""

import threading
from collections.abc import Callable
from contextvars import copy_context


class Periodic:
    """Calls `action` every `every_s` seconds while the `with` block lasts.

    Never waited for at the end: an action may hang in a database that does not answer. `last`
    waits for it where that matters.
    """

    def __init__(self, name: str, every_s: float, action: Callable[[], None]):
        self._every_s = every_s
        self._action = action
        self._over = threading.Event()
        self._thread = threading.Thread(
            # What it logs belongs to whatever the one who started it is at.
            target=copy_context().run,
            args=(self._repeat,),
            name=name,
            daemon=True,
        )

    def __enter__(self) -> "Periodic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def last(self) -> None:
        """Stop, and return once the action will not be called again."""
        self._over.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._over.wait(self._every_s):
            self._action()
