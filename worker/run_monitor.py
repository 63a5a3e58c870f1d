"""Watches a run and stops it when it must end early."""

import logging
import time

from distillery.worker.context import WorkerContext
from distillery.worker.lease import Lease
from distillery.worker.outcome import StopReason
from distillery.worker.runner import Run
from kdcore.spec.recipe import Limits

logger = logging.getLogger(__name__)


class RunMonitor:
    """Stops one run: SIGTERM first, so that it checkpoints, then SIGKILL after the grace period;
    SIGKILL immediately if another worker may own the job soon."""

    def __init__(self, run: Run, lease: Lease, context: WorkerContext, limits: Limits):
        self._run = run
        self._lease = lease
        self._settings = context.settings
        self._stopping = context.stopping
        self._aborting = context.aborting
        self._limits = limits
        self._active_s = time.monotonic()
        self._kill_s = 0.0
        self.stop_reason: StopReason | None = None

    def check(self, is_active: bool, output_bytes: int = 0) -> None:
        """Stop the run if there is a reason to.

        `is_active`: the run has written an event since the last check. `output_bytes`: the size of
        its events or its log, whichever is larger.
        """
        now_s = time.monotonic()
        if is_active:
            self._active_s = now_s
        # The last quarter of the lease is left for the run to die in.
        if self._lease.lost or self._lease.unrenewed_s >= 0.75 * self._settings.lease_s:
            logger.warning("killing the run: the lease is lost or about to lapse")
            self.stop_reason = "lost" if self._lease.lost else "fence"
            self._run.kill()
        elif output_bytes > self._settings.run_output_bytes:
            logger.warning("killing the run: it has written %s bytes", output_bytes)
            self.stop_reason = "output_limit"  # no SIGTERM: it would write on for the grace period
            self._run.kill()
        elif self.stop_reason is None:
            self.stop_reason = self._reason(now_s)
            if self.stop_reason is not None:
                logger.info("interrupting the run: %s", self.stop_reason)
                self._run.interrupt()
                self._kill_s = now_s + self._settings.grace_s
        elif self._aborting.is_set():
            logger.warning("killing the run: the worker received a second stop signal")
            self._run.kill()
        elif now_s >= self._kill_s:
            logger.warning("killing the run: it did not end in %s s", self._settings.grace_s)
            self._run.kill()
        if self.stop_reason == "pause" and self._lease.request == "cancel":
            self.stop_reason = "cancel"

    def _reason(self, now_s: float) -> StopReason | None:
        if self._lease.is_half_over:
            return "fence"
        if self._lease.request == "cancel":
            return "cancel"
        if self._lease.request == "pause":
            return "pause"
        if self._stopping.is_set():
            return "stop"
        if now_s - self._run.started_s > self._limits.wall_clock_s:
            return "wall_clock"
        if now_s - self._active_s > self._settings.stall_s:
            return "stalled"
        return None
