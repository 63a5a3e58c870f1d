"""The watch over a run: decides when it must end before its time, and sees to it."""

import logging
import threading
import time

from distillery.worker.config import WorkerSettings
from distillery.worker.lease import Lease
from distillery.worker.outcome import StopReason
from distillery.worker.runner import Run
from kdcore.spec.recipe import Limits

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class RunMonitor:
    """Looks after one run. SIGTERM first, so that the run checkpoints; SIGKILL after the grace
    time, and at once when the job may be another's."""

    def __init__(
        self,
        run: Run,
        lease: Lease,
        settings: WorkerSettings,
        limits: Limits,
        stopping: threading.Event,
        hurrying: threading.Event,
        log: Log,
    ):
        self._run = run
        self._lease = lease
        self._settings = settings
        self._limits = limits
        self._stopping = stopping
        self._hurrying = hurrying
        self._log = log
        self._heard_s = time.monotonic()
        self._kill_s = 0.0
        self.stop_reason: StopReason | None = None

    def look(self, heard: bool, said_bytes: int = 0) -> None:
        """Look once; `heard`: the run has said something since the last look; `said_bytes`: of the
        longer of its events and its log."""
        now_s = time.monotonic()
        if heard:
            self._heard_s = now_s
        # A quarter of the lease is left for the run to die in.
        if self._lease.lost or self._lease.silence_s >= 0.75 * self._settings.lease_s:
            self._log.warning("killing the run: the lease is lost or nearly so")
            self.stop_reason = "lost" if self._lease.lost else "fence"
            self._run.kill()
        elif said_bytes > self._settings.run_output_bytes:
            self._log.warning("killing the run: it has written %s bytes", said_bytes)
            self.stop_reason = "flood"  # at once: it would go on writing while it is asked to end
            self._run.kill()
        elif self.stop_reason is None:
            self.stop_reason = self._reason(now_s)
            if self.stop_reason is not None:
                self._log.info("interrupting the run: %s", self.stop_reason)
                self._run.interrupt()
                self._kill_s = now_s + self._settings.grace_s
        elif self._hurrying.is_set():
            self._log.warning("killing the run: the worker was told twice to stop")
            self._run.kill()
        elif now_s >= self._kill_s:
            self._log.warning("killing the run, which did not end in %s s", self._settings.grace_s)
            self._run.kill()
        if self.stop_reason == "pause" and self._lease.request == "cancel":
            self.stop_reason = "cancel"

    def _reason(self, now_s: float) -> StopReason | None:
        if self._lease.is_doubtful:
            return "fence"
        if self._lease.request == "cancel":
            return "cancel"
        if self._lease.request == "pause":
            return "pause"
        if self._stopping.is_set():
            return "stop"
        if now_s - self._run.started_s > self._limits.wall_clock_s:
            return "wall_clock"
        if now_s - self._heard_s > self._settings.stall_s:
            return "stalled"
        return None
