"""A PostgreSQL connection on which nothing is waited for longer than a bound.

A server that is cut off in the middle of a statement (a dead router, a stalled proxy) neither
answers nor closes; its own statement timeout is of no use then, and TCP's bounds are met as long as
whatever lies between acknowledges the bytes.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

PING_S = 3.0
T = TypeVar("T")


class Bounded(psycopg.Connection[Any]):
    """Closes itself, with an OperationalError, when an answer takes more than `answer_s`."""

    answer_s: float | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """As in Connection."""
        # Outside of transactions there is only the pool's ping, which has its answer at once.
        bound_s = self.answer_s if not self.autocommit else PING_S
        if self.answer_s is None or bound_s is None:
            return super().wait(gen, *args, **kwargs)
        return super().wait(self._bounded(gen, bound_s), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, T], bound_s: float) -> Generator[Any, Any, T]:
        until_s = time.monotonic() + bound_s
        try:
            wanted = next(gen)
            while True:
                # What is there already counts, however late this process comes to read it.
                wanted = gen.send((yield wanted))
                if time.monotonic() >= until_s:
                    gen.close()
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {bound_s:g} s")
        except StopIteration as end:
            result: T = end.value
            return result
