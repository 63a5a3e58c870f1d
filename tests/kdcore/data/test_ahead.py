"""Items produced ahead: the same in order, errors in their place, and a thread that ends."""

import gc
import threading
from collections.abc import Iterator

import pytest

from kdcore.data.ahead import ahead

NAME = "batches-ahead"


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == NAME]


def counting(made: list[int], end: int) -> Iterator[int]:
    for number in range(end):
        made.append(number)
        yield number


def test_items_come_in_order_from_one_thread_that_then_ends() -> None:
    makers = set()

    def items() -> Iterator[int]:
        for number in range(100):
            makers.add(threading.current_thread().name)
            yield number

    assert list(ahead(items(), 3)) == list(range(100))
    assert makers == {NAME}
    assert threads() == []


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_depth_items_are_produced_ahead(depth: int) -> None:
    made: list[int] = []
    reached = threading.Event()

    def items() -> Iterator[int]:
        for number in counting(made, 50):
            if number == depth + 1:  # one was taken, `depth` are queued, this one must wait
                reached.set()
            yield number

    waiting = ahead(items(), depth)
    assert next(waiting) == 0
    assert reached.wait(20)
    assert len(made) == depth + 2
    waiting.close()  # type: ignore[attr-defined]
    assert len(made) == depth + 2 and threads() == []


def test_an_error_is_raised_unchanged_in_its_place() -> None:
    error = OSError("the disk is gone")

    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise error

    got: list[int] = []
    with pytest.raises(OSError, match="gone") as caught:
        got.extend(iter_into(got, ahead(items(), 4)))
    assert got == [1, 2] and caught.value is error and threads() == []


def iter_into(got: list[int], items: Iterator[int]) -> list[int]:
    for item in items:
        got.append(item)
    return []


def test_an_interrupted_loop_leaves_no_thread() -> None:
    class Interrupted(BaseException):
        pass

    made: list[int] = []
    with pytest.raises(Interrupted):
        for item in ahead(counting(made, 10**9), 2):
            if item == 3:
                raise Interrupted
    gc.collect()
    assert threads() == []
    assert len(made) < 10


def test_a_deleted_iterator_ends_its_thread() -> None:
    items = ahead(counting([], 10**9), 2)
    next(items)
    del items
    gc.collect()
    assert threads() == []


def test_nothing_starts_before_the_first_next() -> None:
    made: list[int] = []
    items = ahead(counting(made, 3), 2)
    assert made == [] and threads() == []
    assert list(items) == [0, 1, 2]
