"""Detects jumps of the database's clock by comparing it with a clock that is never set."""

import logging
from collections.abc import Callable

from distillery.worker.lease import clock_s

logger = logging.getLogger(__name__)


class ClockGuard:
    """Watches database time. After a jump ahead every lease seems to have lapsed, so none may be
    reaped until each live worker has had time to renew its own."""

    def __init__(self, lease_s: float, clock: Callable[[], float] = clock_s):
        self.lease_s = lease_s
        self.was_set = True  # unknown before the first check
        self._clock = clock
        self._offset_s: float | None = None
        self._pause_until_s = 0.0

    @property
    def is_paused(self) -> bool:
        """Whether lapsed leases must not be reaped for now."""
        return self._clock() < self._pause_until_s

    def check(self, now_ms: int) -> None:
        """Compare the clocks; `now_ms` is database time, read just now."""
        here_s = self._clock()
        offset_s = now_ms / 1000 - here_s
        ahead_s = 0.0 if self._offset_s is None else offset_s - self._offset_s
        # A lease that is renewed on time always has more than a quarter of its duration left.
        self.was_set = self._offset_s is None or abs(ahead_s) > self.lease_s / 4
        self._offset_s = offset_s
        if ahead_s > self.lease_s / 4:
            self._pause_until_s = here_s + self.lease_s
        if ahead_s and self.was_set:
            logger.warning("the database's clock was set by %+.0f s", ahead_s)
