"""Waiting rooms: for every free slot a process with torch imported, which waits for a job."""

import fcntl
import logging
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from distillery.worker.config import inherited_environment
from distillery.worker.context import WorkerContext
from distillery.worker.device import DeviceSlot
from distillery.worker.logfile import log_tail
from distillery.worker.runner import Command, WaitingRun

logger = logging.getLogger(__name__)
LOCK = ".lock"
LOCKLESS_S = 3600.0  # a room is locked at once when it is made
LOOK_S = 1.0  # between two looks at those who wait
MOST_REST_S = 60.0  # before the next try, when those who wait die again and again


class WarmProcess:
    """A run that waits, and the directory it waits in; a file beside it is locked while this
    process lives, so that another can tell whose rooms are abandoned. Raises OSError."""

    def __init__(self, warm_pool: Path, command: Command, slot: DeviceSlot):
        self.path = warm_pool / uuid4().hex
        self.path.mkdir(mode=0o700, parents=True)
        # Not the directory itself: over a network a lock needs a file opened for writing.
        self._lock = self.path.with_suffix(LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.run = WaitingRun(self.path, command, inherited_environment() | slot.environment())
        except BaseException:
            self._lock.close()
            raise

    def clear(self) -> None:
        """End the run, if it has not, and remove the directory, if it has not been moved away."""
        self.run.kill()
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.with_suffix(LOCK).unlink(missing_ok=True)
        self._lock.close()


class WarmPool:
    """Keeps one run waiting for each slot that is free: a slot has never two processes.

    Whoever has `taken` a slot uses its run up, or starts one of its own where none waits. The next
    one is started once that run has ended, so it takes nothing from a run that works.
    """

    def __init__(self, context: WorkerContext, slots: list[DeviceSlot]):
        self._context = context
        self._free = Counter(slots if context.settings.warm else [])
        self._warm_pool: defaultdict[DeviceSlot, list[WarmProcess]] = defaultdict(list)
        self._lock = threading.Lock()  # of the three above
        self._changed = threading.Event()
        self._closing = False
        self._failures = 0
        self._rest_until_s = 0.0
        # A run dies with the thread that started it, so this one outlives them all.
        self._keeper = threading.Thread(target=self._keep, name="rooms", daemon=True)

    def start(self) -> None:
        """Begin to fill the rooms."""
        if self._free:
            self._keeper.start()

    def close(self) -> None:
        """End all that wait. To be called when no run is left: all of them end with this."""
        self._closing = True
        self._changed.set()
        if self._keeper.is_alive():
            self._keeper.join()

    @contextmanager
    def taken(self, slot: DeviceSlot) -> Iterator[WarmProcess | None]:
        """The room of this slot, or none: nobody waits there. At the end its run is killed."""
        process = self._take(slot)
        try:
            yield process
        finally:
            if process is not None:
                process.clear()
            with self._lock:
                self._free[slot] += self._context.settings.warm
            self._changed.set()

    def _take(self, slot: DeviceSlot) -> WarmProcess | None:
        with self._lock:
            self._free[slot] -= self._context.settings.warm
            process = self._warm_pool[slot].pop() if self._warm_pool[slot] else None
        if process is not None and (process.run.poll() is not None or not process.path.is_dir()):
            process.clear()
            return None
        return process

    def _keep(self) -> None:
        abandoned = True
        while not self._closing:
            try:
                if abandoned:
                    remove_abandoned(self._context.settings.warm_pool)
                    abandoned = False
                self._look()
            except Exception as error:  # all runs end with this thread: it must go on
                logger.error("the waiting rooms are not in order", exc_info=error)
                self._rest()
            self._changed.wait(LOOK_S)
            self._changed.clear()
        self._empty()

    def _look(self) -> None:
        if self._context.stopping.is_set():
            return self._empty()
        with self._lock:
            for slot, warm_pool in self._warm_pool.items():
                self._warm_pool[slot] = [
                    process for process in warm_pool if self._is_well(process, slot)
                ]
            if time.monotonic() < self._rest_until_s:
                return None
            for slot, free in self._free.items():
                for _ in range(free - len(self._warm_pool[slot])):
                    process = WarmProcess(
                        self._context.settings.warm_pool, self._context.command, slot
                    )
                    self._warm_pool[slot].append(process)
        return None

    def _is_well(self, process: WarmProcess, slot: DeviceSlot) -> bool:
        code = process.run.poll()
        if code is not None:
            logger.warning("a waiting run died (%s): %s", code, log_tail(process.path))
            process.clear()
            self._rest()
        elif process.run.listen():
            spent_s = time.monotonic() - process.run.started_s
            logger.info("a run is warm for %s after %.1f s", slot, spent_s)
            self._failures = 0
        return code is None

    def _rest(self) -> None:
        self._rest_until_s = time.monotonic() + min(2.0**self._failures, MOST_REST_S)
        self._failures += 1

    def _empty(self) -> None:
        with self._lock:
            warm_pool = [process for each in self._warm_pool.values() for process in each]
            self._warm_pool.clear()
        for process in warm_pool:
            process.clear()


def remove_abandoned(warm_pool: Path) -> None:
    """Remove rooms whose worker is gone: nobody holds their lock, or there is none for long."""
    for path in warm_pool.glob(f"*{LOCK}"):
        try:
            with path.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # in use, or just cleared
    for path in warm_pool.glob("*"):
        if path.is_dir() and not path.with_suffix(LOCK).exists() and _age_s(path) > LOCKLESS_S:
            shutil.rmtree(path, ignore_errors=True)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
