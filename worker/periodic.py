"""A thread that repeats an action until it is stopped."""

import threading
from collections.abc import Callable
from contextvars import copy_context


class Periodic:
    """Calls `action` every `every_s` seconds while the `with` block lasts.

    Leaving the block does not wait for a call in progress, which may hang on a database that does
    not answer. Call `join` where the last call must have ended.
    """

    def __init__(self, name: str, every_s: float, action: Callable[[], None]):
        self._every_s = every_s
        self._action = action
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            # Log records of the thread carry the fields of the context that started it.
            target=copy_context().run,
            args=(self._repeat,),
            name=name,
            daemon=True,
        )

    def __enter__(self) -> "Periodic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def join(self) -> None:
        """Stop, and wait until the last call has returned."""
        self._stopped.set()
        self._thread.join()

    def _repeat(self) -> None:
        while not self._stopped.wait(self._every_s):
            self._action()
