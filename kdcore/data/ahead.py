"""Produces the items of an iterator ahead of time, in a thread."""

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
POLL_S = 0.05  # how often a waiting thread checks whether it should stop


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items in the same order, up to `depth` of them produced before they are needed.

    An exception of `items` is raised here, in its place. The thread starts with the first `next`,
    and has ended when the iterator is exhausted, closed or deleted.
    """
    producer = _Producer(items, depth)
    producer.start()
    try:
        while (boxed := producer.ready.get()) is not None:
            yield boxed[0]
        if producer.error is not None:
            raise producer.error
    finally:
        producer.stop()


class _Producer(threading.Thread, Generic[T]):
    """Queues each item, in a tuple of one, and finally None."""

    def __init__(self, items: Iterator[T], depth: int):
        super().__init__(name="batches-ahead", daemon=True)
        self.ready: queue.Queue[tuple[T] | None] = queue.Queue(depth)
        self.error: BaseException | None = None
        self._items = items
        self._stopped = threading.Event()

    def run(self) -> None:
        """Queue items until there are no more, or `stop` is called."""
        try:
            for item in self._items:
                if not self._put((item,)):
                    return
        except BaseException as error:  # noqa: BLE001 -- raised again in the thread that uses the items
            self.error = error
        self._put(None)

    def stop(self) -> None:
        """End the thread; waits for the item that it is producing."""
        self._stopped.set()
        self.join()

    def _put(self, boxed: tuple[T] | None) -> bool:
        while not self._stopped.is_set():
            try:
                self.ready.put(boxed, timeout=POLL_S)
            except queue.Full:
                continue
            return True
        return False
