"""The warm pool: for every free slot a process with torch imported, waiting for a job."""

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
from distillery.worker.runner import Command, WarmRun

logger = logging.getLogger(__name__)
LOCK = ".lock"
LOCKLESS_S = 3600.0  # a directory without a lock file is abandoned after this long
TICK_S = 1.0
MAX_BACKOFF_S = 60.0


class WarmProcess:
    """A warm run and its directory. This process holds a lock on a file beside the directory, so
    that other workers can tell an abandoned one. Raises OSError."""

    def __init__(self, pool_dir: Path, command: Command, slot: DeviceSlot):
        self.path = pool_dir / uuid4().hex
        self.path.mkdir(mode=0o700, parents=True)
        # Not a lock on the directory: on network file systems a lock needs a file open for writing.
        self._lock = self.path.with_suffix(LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.run = WarmRun(self.path, command, inherited_environment() | slot.environment())
        except BaseException:
            self._lock.close()
            raise

    def discard(self) -> None:
        """Kill the run and delete the directory, unless it was moved to become a run directory."""
        self.run.kill()
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.with_suffix(LOCK).unlink(missing_ok=True)
        self._lock.close()


class WarmPool:
    """Keeps one warm process for each free slot. A slot never has two processes.

    A job that acquires a slot takes its warm process, or starts a run of its own if there is none.
    The next warm process starts after that run has ended, so it takes no CPU from it.
    """

    def __init__(self, context: WorkerContext, slots: list[DeviceSlot]):
        self._context = context
        self._free = Counter(slots if context.settings.warm else [])
        self._waiting: defaultdict[DeviceSlot, list[WarmProcess]] = defaultdict(list)
        self._lock = threading.Lock()  # for the two above
        self._changed = threading.Event()
        self._closing = False
        self._failures = 0
        self._retry_at_s = 0.0
        # A run dies with the thread that started it, so all are started by one that outlives them.
        self._thread = threading.Thread(target=self._maintain, name="warm-pool", daemon=True)

    def start(self) -> None:
        """Start filling the pool."""
        if self._free:
            self._thread.start()

    def close(self) -> None:
        """Kill all warm processes. Call it after the last run: it kills every run it started."""
        self._closing = True
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextmanager
    def acquire(self, slot: DeviceSlot) -> Iterator[WarmProcess | None]:
        """Take the slot's warm process, or None if there is none; it is killed at the end."""
        process = self._take(slot)
        try:
            yield process
        finally:
            if process is not None:
                process.discard()
            with self._lock:
                self._free[slot] += self._context.settings.warm
            self._changed.set()

    def _take(self, slot: DeviceSlot) -> WarmProcess | None:
        with self._lock:
            self._free[slot] -= self._context.settings.warm
            process = self._waiting[slot].pop() if self._waiting[slot] else None
        if process is not None and (process.run.poll() is not None or not process.path.is_dir()):
            process.discard()
            return None
        return process

    def _maintain(self) -> None:
        is_clean = False
        while not self._closing:
            try:
                if not is_clean:
                    remove_abandoned(self._context.settings.warm_pool)
                    is_clean = True
                self._refill()
            except Exception as error:  # all runs die with this thread: it must survive
                logger.error("maintaining the warm pool failed", exc_info=error)
                self._back_off()
            self._changed.wait(TICK_S)
            self._changed.clear()
        self._clear()

    def _refill(self) -> None:
        if self._context.stopping.is_set():
            return self._clear()
        with self._lock:
            for slot, processes in self._waiting.items():
                self._waiting[slot] = [each for each in processes if self._is_alive(each, slot)]
            if time.monotonic() < self._retry_at_s:
                return None
            pool_dir, command = self._context.settings.warm_pool, self._context.command
            for slot, free in self._free.items():
                for _ in range(free - len(self._waiting[slot])):
                    self._waiting[slot].append(WarmProcess(pool_dir, command, slot))
        return None

    def _is_alive(self, process: WarmProcess, slot: DeviceSlot) -> bool:
        code = process.run.poll()
        if code is not None:
            logger.warning("a warm run died (%s): %s", code, log_tail(process.path))
            process.discard()
            self._back_off()
        elif process.run.poll_ready():
            spent_s = time.monotonic() - process.run.started_s
            logger.info("a run is warm for %s after %.1f s", slot, spent_s)
            self._failures = 0
        return code is None

    def _back_off(self) -> None:
        self._retry_at_s = time.monotonic() + min(2.0**self._failures, MAX_BACKOFF_S)
        self._failures += 1

    def _clear(self) -> None:
        with self._lock:
            waiting = [process for processes in self._waiting.values() for process in processes]
            self._waiting.clear()
        for process in waiting:
            process.discard()


def remove_abandoned(pool_dir: Path) -> None:
    """Delete directories whose worker is gone: their lock is free, or has long been missing."""
    for path in pool_dir.glob(f"*{LOCK}"):
        try:
            with path.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # in use, or just deleted
    for path in pool_dir.glob("*"):
        if path.is_dir() and not path.with_suffix(LOCK).exists() and _age_s(path) > LOCKLESS_S:
            shutil.rmtree(path, ignore_errors=True)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
