"""The floor: a worker's slots, and the poll that finds jobs whose ring was lost."""

import logging
import os
import shutil
import socket
import threading
import time

from sqlalchemy.orm import Session

from kdcore.spec.failpoints import failpoint
from store import jobs, workers
from store.db import db_now
from store.errors import StoreError, Unavailable
from store.states import TERMINAL
from store.tables import Job
from worker.attempt import Attempt
from worker.bench import Bench
from worker.device import Slot, Slots
from worker.rooms import Rooms

logger = logging.getLogger(__name__)
CLEAN_EVERY_S = 600.0


class Floor:
    """Runs jobs, one per slot, for as long as the worker lives."""

    def __init__(self, bench: Bench, slots: list[Slot]):
        self.slots = Slots(slots)
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._bench = bench
        self._rooms = Rooms(bench, slots)
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

    def join(self) -> None:
        """Wait for all that was started; no `offer` may be under way."""
        self._poll.join()
        for thread in self._threads:
            thread.join()
        self._rooms.close()

    def offer(self, job_id: str) -> bool:
        """Run the job in this thread if a slot is free and the job waits; whether it was run."""
        slot = self.slots.take()
        if slot is None:
            return False  # the poll of whoever has a free slot first will find it
        return self._serve(job_id, slot)

    def _serve(self, job_id: str, slot: Slot) -> bool:
        claim = None
        try:
            if not self._bench.stopping.is_set():
                with self._bench.database.write() as session:
                    claim = jobs.claim(session, job_id, self.name, self._bench.settings.lease_s)
                    failpoint("claim.committing")
            if claim is not None:
                failpoint("claim.committed")
                Attempt(self._bench, claim, slot, self._rooms).carry_out()
        except Unavailable as error:
            logger.warning("%s: not claimed: %s", job_id, error)
        except Exception as error:  # a thread's outermost seam; the sweep helps
            logger.error("%s: the attempt broke", job_id, exc_info=error)
        finally:
            self.slots.give(slot)
        if claim is not None:
            self._wake.set()  # a slot is free: look for the next job at once
        return claim is not None

    def _poll_until_stopped(self) -> None:
        settings = self._bench.settings
        beaten_s = cleaned_s = -CLEAN_EVERY_S
        while not self._bench.stopping.is_set():
            now_s = time.monotonic()
            try:
                if now_s - beaten_s >= settings.beat_s:
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

    def _look(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if self.slots.free == 0:
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
            workers.beat_worker(session, self.name, self.slots.count)

    def _retire(self) -> None:
        try:
            with self._bench.database.write() as session:
                workers.retire_worker(session, self.name)
        except StoreError as error:
            logger.warning("the worker's row stays for a while: %s", error)

    def _clean(self) -> None:
        """Remove run directories that nobody will want: of jobs that are over, or gone."""
        if self._bench.settings.keep_runs or not self._bench.settings.runs.is_dir():
            return
        for folder in self._bench.settings.runs.iterdir():
            if folder == self._bench.settings.rooms:
                continue
            with self._bench.database.read() as session:
                unwanted = is_over(session, folder.name, self._bench.settings.keep_failed_s)
            if unwanted:
                shutil.rmtree(folder, ignore_errors=True)


def is_over(session: Session, job_id: str, keep_failed_s: float) -> bool:
    """Whether the job's run directories are of no more use: succeeded, cancelled, unknown, or
    failed for longer than `keep_failed_s`."""
    job = session.get(Job, job_id)
    if job is None or (job.state in TERMINAL and job.state != "failed"):
        return True
    ended = job.finished_at or job.updated_at
    return job.state == "failed" and db_now(session) - ended > keep_failed_s * 1000
