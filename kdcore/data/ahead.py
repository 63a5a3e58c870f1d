"""Makes the items of an iterator ahead of time, in a thread."""

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
LOOK_S = 0.05  # between two looks of a waiting thread at whether it is still wanted


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items in the same order, up to `depth` of them made before they are asked for.

    What making them raises is raised here, at its place. The thread starts when the first item is
    asked for, and has ended once the iterator is exhausted, closed or forgotten.
    """
    maker = _Maker(items, depth)
    maker.start()
    try:
        while (made := maker.ready.get()) is not None:
            yield made[0]
        if maker.error is not None:
            raise maker.error
    finally:
        maker.stop()


class _Maker(threading.Thread, Generic[T]):
    """Puts items, each in a tuple of its own, then None."""

    def __init__(self, items: Iterator[T], depth: int):
        super().__init__(name="batches-ahead", daemon=True)
        self.ready: queue.Queue[tuple[T] | None] = queue.Queue(depth)
        self.error: BaseException | None = None
        self._items = items
        self._stopped = threading.Event()

    def run(self) -> None:
        """Make items until there are no more, or nobody wants them."""
        try:
            for item in self._items:
                if not self._put((item,)):
                    return
        except BaseException as error:  # noqa: BLE001 -- raised again where the items are used
            self.error = error
        self._put(None)

    def stop(self) -> None:
        """End the thread, within the item that it is making."""
        self._stopped.set()
        self.join()

    def _put(self, made: tuple[T] | None) -> bool:
        while not self._stopped.is_set():
            try:
                self.ready.put(made, timeout=LOOK_S)
            except queue.Full:
                continue
            return True
        return False
