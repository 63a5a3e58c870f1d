"""The floor: a worker's slots, and the poll that finds jobs whose ring was lost."""

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
from distillery.worker.context import Bench
from distillery.worker.device import Slot, Slots
from distillery.worker.disk_guard import Space
from distillery.worker.warm_pool import Rooms, remove_abandoned
from kdcore.spec.failpoints import failpoint

logger = logging.getLogger(__name__)
CLEAN_EVERY_S = 600.0


class Floor:
    """Runs jobs, one per slot, for as long as the worker lives."""

    def __init__(self, bench: Bench, slots: list[Slot]):
        self.slots = Slots(slots)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._bench = bench
        self._rooms = Rooms(bench, slots)
        self._space = Space(folders_of(bench), bench.settings.min_free_bytes)
        self._trouble: str | None = None
        self._wake = threading.Event()
        self._threads: list[threading.Thread] = []
        self._poll = threading.Thread(target=self._poll_until_stopped, name="poll")

    def start(self) -> None:
        """Begin to poll, and to have runs wait for jobs."""
        self._rooms.start()
        self._poll.start()

    def stop(self) -> None:
        """Tell every run to checkpoint and end. Returns at once; safe in a signal handler."""
        self._bench.stopping.set()
        self._wake.set()

    def is_stopping(self) -> bool:
        """Whether it was told to."""
        return self._bench.stopping.is_set()

    def hurry(self) -> None:
        """Told to stop again: runs are killed, their jobs released. As safe as `stop`."""
        self._bench.hurrying.set()
        self.stop()

    def join(self) -> None:
        """Wait for all that was started; no `offer` may be under way."""
        self._poll.join()
        for thread in self._threads:
            thread.join()
        self._rooms.close()

    def offer(self, job_id: str) -> bool:
        """Run the job in this thread if a slot is free and the job waits; whether it was run."""
        if self._space.shortage() is not None:
            return False  # the poll says so, and looks again
        slot = self.slots.take()
        if slot is None:
            return False  # the poll of whoever has a free slot first will find it
        return self._serve(job_id, slot)

    def _serve(self, job_id: str, slot: Slot) -> bool:
        claim = None
        began_ns = traces.now_ns()
        try:
            if not self._bench.stopping.is_set():
                with self._bench.database.write() as session:
                    claim = jobs.claim(session, job_id, self.name, self._bench.settings.lease_s)
                    failpoint("claim.committing")
            if claim is not None:
                failpoint("claim.committed")
                metrics.WAITED.observe(claim.waited_ms / 1000)
                self._work_on(claim, slot, began_ns)
        except Unavailable as error:
            logger.warning("%s: not claimed: %s", job_id, error)
        except Exception as error:  # a thread's outermost seam; the sweep helps
            logger.error("%s: the attempt broke", job_id, exc_info=error)
        finally:
            self.slots.give(slot)
        if claim is not None:
            self._wake.set()  # a slot is free: look for the next job at once
        return claim is not None

    def _work_on(self, claim: Claim, slot: Slot, began_ns: int) -> None:
        ids = {"job": claim.job_id, "attempt": claim.attempt, "tenant": claim.tenant}
        named = {f"kd.{name}": value for name, value in ids.items()}
        with bound(**ids), traces.span("attempt", claim.traceparent, **named):
            traces.past("claim", began_ns, traces.now_ns())
            Attempt(self._bench, claim, slot, self._rooms).carry_out()

    def _poll_until_stopped(self) -> None:
        settings = self._bench.settings
        beaten_s = cleaned_s = -CLEAN_EVERY_S
        while not self._bench.stopping.is_set():
            now_s = time.monotonic()
            try:
                if self._is_news() or now_s - beaten_s >= settings.beat_s:
                    self._beat()
                    beaten_s = now_s
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
        before, self._trouble = self._trouble, self._space.shortage()
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
        with self._bench.database.read() as session:
            waiting = jobs.claimable(session, self.slots.free)
        for job_id in waiting:
            slot = self.slots.take()
            if slot is None:
                return
            thread = threading.Thread(target=self._serve, args=(job_id, slot), name=job_id)
            self._threads.append(thread)
            thread.start()

    def _beat(self) -> None:
        with self._bench.database.write() as session:
            workers.beat_worker(session, self.name, self.slots.count, self._trouble)

    def _retire(self) -> None:
        try:
            with self._bench.database.write() as session:
                workers.retire_worker(session, self.name)
        except StoreError as error:
            logger.warning("the worker's row stays for a while: %s", error)

    def _clean(self) -> None:
        """Remove what nobody will want any more on the disk of the run directories."""
        settings = self._bench.settings
        remove_abandoned(settings.rooms)
        gone = runs.collect(self._bench.database, settings.runs, settings, None)
        if gone.count:
            logger.info("%s run directories removed, %s bytes", gone.count, gone.size)


def folders_of(bench: Bench) -> dict[str, Path]:
    """What a run and its result fill, where it lies on a disk of this machine."""
    settings = bench.settings
    folders = {"run directories": settings.runs, "decoded datasets": settings.packs}
    if isinstance(bench.blobs, LocalBlobs):
        folders["blobs"] = bench.blobs.root
    if bench.database.engine.dialect.name == "sqlite":
        folders["the database"] = Path(bench.database.engine.url.database or ".").parent
    return folders
