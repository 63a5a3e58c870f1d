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
from distillery.worker.context import Bench
from distillery.worker.device import Slot
from distillery.worker.logfile import log_tail
from distillery.worker.runner import Command, WaitingRun

logger = logging.getLogger(__name__)
LOCK = ".lock"
LOCKLESS_S = 3600.0  # a room is locked at once when it is made
LOOK_S = 1.0  # between two looks at those who wait
MOST_REST_S = 60.0  # before the next try, when those who wait die again and again


class Room:
    """A run that waits, and the directory it waits in; a file beside it is locked while this
    process lives, so that another can tell whose rooms are abandoned. Raises OSError."""

    def __init__(self, rooms: Path, command: Command, slot: Slot):
        self.path = rooms / uuid4().hex
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


class Rooms:
    """Keeps one run waiting for each slot that is free: a slot has never two processes.

    Whoever has `taken` a slot uses its run up, or starts one of its own where none waits. The next
    one is started once that run has ended, so it takes nothing from a run that works.
    """

    def __init__(self, bench: Bench, slots: list[Slot]):
        self._bench = bench
        self._free = Counter(slots if bench.settings.warm else [])
        self._rooms: defaultdict[Slot, list[Room]] = defaultdict(list)
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
    def taken(self, slot: Slot) -> Iterator[Room | None]:
        """The room of this slot, or none: nobody waits there. At the end its run is killed."""
        room = self._take(slot)
        try:
            yield room
        finally:
            if room is not None:
                room.clear()
            with self._lock:
                self._free[slot] += self._bench.settings.warm
            self._changed.set()

    def _take(self, slot: Slot) -> Room | None:
        with self._lock:
            self._free[slot] -= self._bench.settings.warm
            room = self._rooms[slot].pop() if self._rooms[slot] else None
        if room is not None and (room.run.poll() is not None or not room.path.is_dir()):
            room.clear()
            return None
        return room

    def _keep(self) -> None:
        abandoned = True
        while not self._closing:
            try:
                if abandoned:
                    remove_abandoned(self._bench.settings.rooms)
                    abandoned = False
                self._look()
            except Exception as error:  # all runs end with this thread: it must go on
                logger.error("the waiting rooms are not in order", exc_info=error)
                self._rest()
            self._changed.wait(LOOK_S)
            self._changed.clear()
        self._empty()

    def _look(self) -> None:
        if self._bench.stopping.is_set():
            return self._empty()
        with self._lock:
            for slot, rooms in self._rooms.items():
                self._rooms[slot] = [room for room in rooms if self._is_well(room, slot)]
            if time.monotonic() < self._rest_until_s:
                return None
            for slot, free in self._free.items():
                for _ in range(free - len(self._rooms[slot])):
                    room = Room(self._bench.settings.rooms, self._bench.command, slot)
                    self._rooms[slot].append(room)
        return None

    def _is_well(self, room: Room, slot: Slot) -> bool:
        code = room.run.poll()
        if code is not None:
            logger.warning("a waiting run died (%s): %s", code, log_tail(room.path))
            room.clear()
            self._rest()
        elif room.run.listen():
            spent_s = time.monotonic() - room.run.started_s
            logger.info("a run is warm for %s after %.1f s", slot, spent_s)
            self._failures = 0
        return code is None

    def _rest(self) -> None:
        self._rest_until_s = time.monotonic() + min(2.0**self._failures, MOST_REST_S)
        self._failures += 1

    def _empty(self) -> None:
        with self._lock:
            rooms = [room for each in self._rooms.values() for room in each]
            self._rooms.clear()
        for room in rooms:
            room.clear()


def remove_abandoned(rooms: Path) -> None:
    """Remove rooms whose worker is gone: nobody holds their lock, or there is none for long."""
    for path in rooms.glob(f"*{LOCK}"):
        try:
            with path.open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # in use, or just cleared
    for path in rooms.glob("*"):
        if path.is_dir() and not path.with_suffix(LOCK).exists() and _age_s(path) > LOCKLESS_S:
            shutil.rmtree(path, ignore_errors=True)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
