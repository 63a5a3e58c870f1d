"""A PostgreSQL connection that waits no longer than a deadline for any response.

A server that is cut off in the middle of a statement (a dead router, a stalled proxy) neither
responds nor closes. Its own statement timeout does not help then, nor do TCP's timeouts while a
proxy acknowledges the bytes.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

PING_S = 3.0
T = TypeVar("T")


class DeadlineConnection(psycopg.Connection[Any]):
    """Closes itself with an OperationalError when a response takes longer than `timeout_s`."""

    timeout_s: float | None = None

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """As in Connection."""
        # Outside of transactions there is only the pool's ping, which is quick.
        bound_s = self.timeout_s if not self.autocommit else PING_S
        if self.timeout_s is None or bound_s is None:
            return super().wait(gen, *args, **kwargs)
        return super().wait(self._bounded(gen, bound_s), *args, **kwargs)

    def _bounded(self, gen: Generator[Any, Any, T], bound_s: float) -> Generator[Any, Any, T]:
        until_s = time.monotonic() + bound_s
        try:
            wanted = next(gen)
            while True:
                # A response that has arrived counts, however late this process reads it.
                wanted = gen.send((yield wanted))
                if time.monotonic() >= until_s:
                    gen.close()
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {bound_s:g} s")
        except StopIteration as end:
            result: T = end.value
            return result
