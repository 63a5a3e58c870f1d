"""The dispatcher: runs jobs on a worker's slots, and polls for jobs whose notification was lost."""

import logging
import os
import socket
import threading
import time
from pathlib import Path

from distillery.store import jobs
from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.errors import StoreError, Unavailable
from distillery.store.jobs import Claim, workers
from distillery.store.ops.retention import runs
from distillery.telemetry import traces
from distillery.telemetry.logs import log_context
from distillery.worker import metrics
from distillery.worker.attempt import Attempt
from distillery.worker.context import WorkerContext
from distillery.worker.device import DeviceSlot, DeviceSlots
from distillery.worker.disk_guard import DiskGuard
from distillery.worker.warm_pool import WarmPool, remove_abandoned
from kdcore.spec.failpoints import failpoint

logger = logging.getLogger(__name__)
CLEAN_EVERY_S = 600.0


class Dispatcher:
    """Runs one job per slot until the worker stops."""

    def __init__(self, context: WorkerContext, slots: list[DeviceSlot]):
        self.slots = DeviceSlots(slots)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._context = context
        self._warm_pool = WarmPool(context, slots)
        self._disk_guard = DiskGuard(folders_of(context), context.settings.min_free_bytes)
        self._shortage: str | None = None
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []
        self._poll = threading.Thread(target=self._poll_until_stopped, name="poll")

    def start(self) -> None:
        """Start the poll and the warm pool."""
        self._warm_pool.start()
        self._poll.start()

    def stop(self) -> None:
        """Have every run checkpoint and exit. Does not wait; safe in a signal handler."""
        self._context.stopping.set()
        self._wake.set()

    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._context.stopping.is_set()

    def abort(self) -> None:
        """Kill the runs without a checkpoint and release their jobs. As safe as `stop`."""
        self._context.aborting.set()
        self.stop()

    def join(self) -> None:
        """Wait for all jobs and threads; no call of `offer` may be in progress."""
        self._poll.join()
        for thread in self._threads:
            thread.join()
        self._warm_pool.close()

    def offer(self, job_id: str) -> bool:
        """Run the job in this thread if a slot is free and the job is waiting; return whether it
        was run."""
        if self._disk_guard.shortage() is not None:
            return False  # the poll logs this and checks again
        slot = self.slots.acquire()
        if slot is None:
            return False  # the first worker with a free slot finds it by its poll
        return self._run_job(job_id, slot)

    def _run_job(self, job_id: str, slot: DeviceSlot) -> bool:
        claim = None
        started_ns = traces.now_ns()
        try:
            if not self._context.stopping.is_set():
                with self._context.database.write() as session:
                    claim = jobs.claim(session, job_id, self.name, self._context.settings.lease_s)
                    failpoint("claim.committing")
            if claim is not None:
                failpoint("claim.committed")
                metrics.WAITED.observe(claim.waited_ms / 1000)
                self._run_attempt(claim, slot, started_ns)
        except Unavailable as error:
            logger.warning("%s: not claimed: %s", job_id, error)
        except Exception as error:  # the thread's outermost handler; the reaper requeues the job
            logger.error("%s: the attempt failed unexpectedly", job_id, exc_info=error)
        finally:
            self.slots.release(slot)
        if claim is not None:
            self._wake.set()  # a slot is free: poll for the next job now
        return claim is not None

    def _run_attempt(self, claim: Claim, slot: DeviceSlot, started_ns: int) -> None:
        ids = {"job": claim.job_id, "attempt": claim.attempt, "tenant": claim.tenant}
        attributes = {f"kd.{name}": value for name, value in ids.items()}
        with log_context(**ids), traces.span("attempt", claim.traceparent, **attributes):
            traces.record_span("claim", started_ns, traces.now_ns())
            Attempt(self._context, claim, slot, self._warm_pool).run()

    def _poll_until_stopped(self) -> None:
        settings = self._context.settings
        heartbeat_at_s = cleaned_at_s = -CLEAN_EVERY_S
        while not self._context.stopping.is_set():
            now_s = time.monotonic()
            try:
                if self._check_disks() or now_s - heartbeat_at_s >= settings.heartbeat_s:
                    self._record_heartbeat()
                    heartbeat_at_s = now_s
                self._start_jobs()
                if now_s - cleaned_at_s >= CLEAN_EVERY_S:
                    self._clean()
                    cleaned_at_s = now_s
            except Unavailable as error:
                logger.warning("waiting for the database: %s", error)
            except Exception as error:  # the poll must survive
                logger.error("the poll failed", exc_info=error)
            self._wake.wait(settings.poll_s)
            self._wake.clear()
        self._retire()

    def _check_disks(self) -> bool:
        """Check the free disk space; log and return whether a shortage has begun or ended."""
        before, self._shortage = self._shortage, self._disk_guard.shortage()
        if (before is None) is (self._shortage is None):
            return False
        if self._shortage is None:
            logger.info("there is enough disk space again: taking jobs")
        else:
            logger.warning("taking no jobs until there is more disk space: %s", self._shortage)
        return True

    def _start_jobs(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if self.slots.free == 0 or self._shortage is not None:
            return
        with self._context.database.read() as session:
            waiting = jobs.claimable(session, self.slots.free)
        for job_id in waiting:
            slot = self.slots.acquire()
            if slot is None:
                return
            thread = threading.Thread(target=self._run_job, args=(job_id, slot), name=job_id)
            self._threads.append(thread)
            thread.start()

    def _record_heartbeat(self) -> None:
        with self._context.database.write() as session:
            workers.record_heartbeat(session, self.name, self.slots.count, self._shortage)

    def _retire(self) -> None:
        try:
            with self._context.database.write() as session:
                workers.remove_worker(session, self.name)
        except StoreError as error:
            logger.warning("cannot remove this worker's row: %s", error)

    def _clean(self) -> None:
        """Delete run directories and warm processes that are no longer needed."""
        settings = self._context.settings
        remove_abandoned(settings.warm_pool)
        gone = runs.collect(self._context.database, settings.runs, settings, None)
        if gone.count:
            logger.info("deleted %s run directories, %s bytes", gone.count, gone.size)


def folders_of(context: WorkerContext) -> dict[str, Path]:
    """The directories that a run and its result fill on local disks, by purpose."""
    settings = context.settings
    folders = {"run directories": settings.runs, "decoded datasets": settings.packs}
    if isinstance(context.blobs, LocalBlobs):
        folders["blobs"] = context.blobs.root
    if context.database.engine.dialect.name == "sqlite":
        folders["the database"] = Path(context.database.engine.url.database or ".").parent
    return folders
