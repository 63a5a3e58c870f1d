"""Locks a KD_HOME for one `kd up` and its children; released when all of them have exited."""

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Self

from distillery.sdk.errors import ClientError
from distillery.sdk.running import LOCK_FILE, is_alive

ORPHANS_S = 30.0  # children of a killed `kd up` finish their step and write a checkpoint


class HomeLock:
    """The lock on `home`. Raises ClientError when another service holds it."""

    def __init__(self, home: Path):
        home.mkdir(parents=True, exist_ok=True)
        self._path = home / LOCK_FILE
        self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        os.set_inheritable(self.fd, False)
        try:
            self._acquire(home)
        except BaseException:
            os.close(self.fd)
            raise
        self.write_holder("")

    def write_holder(self, url: str) -> None:
        """Write this process's id and the service's URL into the lock file, for other processes."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)

    def release(self) -> None:
        """Release this process's hold; each child holds the lock until it exits."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _acquire(self, home: Path) -> None:
        deadline_s = time.monotonic() + ORPHANS_S
        while True:
            try:
                return fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, url = self._holder()
                if is_alive(pid):
                    raise ClientError(
                        f"A service already runs on {home} (process {pid}{url and ', ' + url}).",
                        hint="Stop it first, or choose another home with --home or KD_HOME.",
                    ) from None
                if time.monotonic() > deadline_s:
                    raise ClientError(
                        f"Processes of an earlier service still use {home}.",
                        hint=f"Find them with: fuser {self._path}",
                    ) from None
                time.sleep(0.2)

    def _holder(self) -> tuple[int, str]:
        try:
            note = json.loads(os.pread(self.fd, 1000, 0) or b"{}")
        except ValueError:  # the holder is writing it
            return os.getpid(), ""
        return int(note.get("pid", 0)), str(note.get("url", ""))
