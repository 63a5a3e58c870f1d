"""The floor: a worker's slots, and the poll that finds jobs whose notification was lost."""

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
from distillery.telemetry.logs import bound
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
    """Runs jobs, one per slot, for as long as the worker lives."""

    def __init__(self, context: WorkerContext, slots: list[DeviceSlot]):
        self.slots = DeviceSlots(slots)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._context = context
        self._warm_pool = WarmPool(context, slots)
        self._disk_guard = DiskGuard(folders_of(context), context.settings.min_free_bytes)
        self._trouble: str | None = None
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []
        self._poll = threading.Thread(target=self._poll_until_stopped, name="poll")

    def start(self) -> None:
        """Begin to poll, and to have runs wait for jobs."""
        self._warm_pool.start()
        self._poll.start()

    def stop(self) -> None:
        """Tell every run to checkpoint and end. Returns at once; safe in a signal handler."""
        self._context.stopping.set()
        self._wake.set()

    def is_stopping(self) -> bool:
        """Whether it was told to."""
        return self._context.stopping.is_set()

    def hurry(self) -> None:
        """Told to stop again: runs are killed, their jobs released. As safe as `stop`."""
        self._context.hurrying.set()
        self.stop()

    def join(self) -> None:
        """Wait for all that was started; no `offer` may be under way."""
        self._poll.join()
        for thread in self._threads:
            thread.join()
        self._warm_pool.close()

    def offer(self, job_id: str) -> bool:
        """Run the job in this thread if a slot is free and the job waits; whether it was run."""
        if self._disk_guard.shortage() is not None:
            return False  # the poll says so, and looks again
        slot = self.slots.take()
        if slot is None:
            return False  # the poll of whoever has a free slot first will find it
        return self._serve(job_id, slot)

    def _serve(self, job_id: str, slot: DeviceSlot) -> bool:
        claim = None
        began_ns = traces.now_ns()
        try:
            if not self._context.stopping.is_set():
                with self._context.database.write() as session:
                    claim = jobs.claim(session, job_id, self.name, self._context.settings.lease_s)
                    failpoint("claim.committing")
            if claim is not None:
                failpoint("claim.committed")
                metrics.WAITED.observe(claim.waited_ms / 1000)
                self._work_on(claim, slot, began_ns)
        except Unavailable as error:
            logger.warning("%s: not claimed: %s", job_id, error)
        except Exception as error:  # a thread's outermost seam; the reaper helps
            logger.error("%s: the attempt broke", job_id, exc_info=error)
        finally:
            self.slots.give(slot)
        if claim is not None:
            self._wake.set()  # a slot is free: look for the next job at once
        return claim is not None

    def _work_on(self, claim: Claim, slot: DeviceSlot, began_ns: int) -> None:
        ids = {"job": claim.job_id, "attempt": claim.attempt, "tenant": claim.tenant}
        named = {f"kd.{name}": value for name, value in ids.items()}
        with bound(**ids), traces.span("attempt", claim.traceparent, **named):
            traces.past("claim", began_ns, traces.now_ns())
            Attempt(self._context, claim, slot, self._warm_pool).carry_out()

    def _poll_until_stopped(self) -> None:
        settings = self._context.settings
        heartbeat_at_s = cleaned_s = -CLEAN_EVERY_S
        while not self._context.stopping.is_set():
            now_s = time.monotonic()
            try:
                if self._is_news() or now_s - heartbeat_at_s >= settings.heartbeat_s:
                    self._record_heartbeat()
                    heartbeat_at_s = now_s
                self._look()
                if now_s - cleaned_s >= CLEAN_EVERY_S:
                    self._clean()
                    cleaned_s = now_s
            except Unavailable as error:
                logger.warning("waiting for the database: %s", error)
            except Exception as error:  # the poll must go on, whatever broke
                logger.error("the poll failed", exc_info=error)
            self._wake.wait(settings.poll_s)
            self._wake.clear()
        self._retire()

    def _is_news(self) -> bool:
        """Look whether the disks have room; whether that has changed, which is said once."""
        before, self._trouble = self._trouble, self._disk_guard.shortage()
        if (before is None) is (self._trouble is None):
            return False
        if self._trouble is None:
            logger.info("there is disk space again: jobs are taken")
        else:
            logger.warning("no job is taken until there is disk space: %s", self._trouble)
        return True

    def _look(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if self.slots.free == 0 or self._trouble is not None:
            return
        with self._context.database.read() as session:
            waiting = jobs.claimable(session, self.slots.free)
        for job_id in waiting:
            slot = self.slots.take()
            if slot is None:
                return
            thread = threading.Thread(target=self._serve, args=(job_id, slot), name=job_id)
            self._threads.append(thread)
            thread.start()

    def _record_heartbeat(self) -> None:
        with self._context.database.write() as session:
            workers.record_heartbeat(session, self.name, self.slots.count, self._trouble)

    def _retire(self) -> None:
        try:
            with self._context.database.write() as session:
                workers.retire_worker(session, self.name)
        except StoreError as error:
            logger.warning("the worker's row stays for a while: %s", error)

    def _clean(self) -> None:
        """Remove what nobody will want any more on the disk of the run directories."""
        settings = self._context.settings
        remove_abandoned(settings.warm_pool)
        gone = runs.collect(self._context.database, settings.runs, settings, None)
        if gone.count:
            logger.info("%s run directories removed, %s bytes", gone.count, gone.size)


def folders_of(context: WorkerContext) -> dict[str, Path]:
    """What a run and its result fill, where it lies on a disk of this machine."""
    settings = context.settings
    folders = {"run directories": settings.runs, "decoded datasets": settings.packs}
    if isinstance(context.blobs, LocalBlobs):
        folders["blobs"] = context.blobs.root
    if context.database.engine.dialect.name == "sqlite":
        folders["the database"] = Path(context.database.engine.url.database or ".").parent
    return folders
