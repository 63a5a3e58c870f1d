"""Whether the database's clock goes on steadily, as seen from one that nobody sets."""

import logging
from collections.abc import Callable

from distillery.worker.lease import clock_s

logger = logging.getLogger(__name__)


class ClockGuard:
    """Watches database time. Where it has jumped ahead, every lease seems to have lapsed at once:
    none may be taken back then until all who live have had the time to renew theirs."""

    def __init__(self, lease_s: float, clock: Callable[[], float] = clock_s):
        self.lease_s = lease_s
        self.was_set = True  # perhaps, before the first look
        self._clock = clock
        self._offset_s: float | None = None
        self._rest_until_s = 0.0

    @property
    def rests(self) -> bool:
        """Whether leases may not be judged at present."""
        return self._clock() < self._rest_until_s

    def look(self, now_ms: int) -> None:
        """Compare with database time, which was read just now."""
        here_s = self._clock()
        offset_s = now_ms / 1000 - here_s
        ahead_s = 0.0 if self._offset_s is None else offset_s - self._offset_s
        # What is left of a lease that is renewed in time is more than this.
        self.was_set = self._offset_s is None or abs(ahead_s) > self.lease_s / 4
        self._offset_s = offset_s
        if ahead_s > self.lease_s / 4:
            self._rest_until_s = here_s + self.lease_s
        if ahead_s and self.was_set:
            logger.warning("the database's clock was set by %+.0f s", ahead_s)
