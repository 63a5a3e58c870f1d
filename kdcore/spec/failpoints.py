"""Failpoints: named places where a test may have this process die, wait, or err.

Normally a place is one empty loop and does nothing: nothing is armed unless the program was told
so at its start (`KD_FAILPOINT`, which the settings of store read; a run is told by its worker, with
`--failpoint`). Whoever can do that can kill the process anyway.
"""

import errno
import os
import re
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Literal, cast

# hold: wait for a signal that the program handles; block: wait for ever; error: raise OSError.
Action = Literal["kill", "hold", "block", "error"]

PLACES = {
    # API
    "part.keeping": "a part of an upload is on disk and noted, in a transaction that is still open",
    "creation.committing": "a creating request's rows are written, in a transaction that is open",
    "creation.committed": "they are committed, the client was not told",
    "notification.sending": "a job is committed, nobody was told of it",
    "notification.sent": "the broker has taken the notification",
    # worker
    "claim.committing": "a job is claimed, in a transaction that is still open",
    "claim.committed": "a job is claimed and nothing else has happened",
    "rundir.made": "the run directory is laid out, its run not begun",
    "lease.renewing": "a lease is about to be renewed",
    "lease.renewed": "it was renewed",
    "events.committing": "a batch of events is written, in a transaction that is still open",
    "events.committed": "it is committed; the worker has not noted that",
    "blob.writing": "a blob's bytes are under a temporary name, not yet flushed to disk",
    "blob.renaming": "they are flushed, not yet renamed",
    "blob.renamed": "they are renamed, their directory not yet flushed",
    "artifacts.stored": "all results are in storage, nothing points at them",
    "end.committing": "the job's end is written, in a transaction that is still open",
    "end.committed": "the job has ended; nothing is tidied up",
    # reaper
    "reaper.committing": "lapsed leases are taken back, in a transaction that is still open",
    "reaper.committed": "they are taken back, nobody was told",
    # run
    "step.made": "an optimizer step was made, before its checkpoint if one is due",
    "checkpoint.writing": "one of a checkpoint's three files is written whole, one in part",
    "checkpoint.syncing": "a checkpoint's last file is written, not yet flushed to disk",
    "checkpoint.renaming": "all are flushed, under a temporary name",
    "checkpoint.renamed": "renamed, the directory not yet flushed, old ones not yet removed",
    "checkpoint.made": "old ones are removed, no event says so yet",
    "result.writing": "students are exported, result.json is not there",
    "result.written": "result.json is there, no event says that the run has ended",
}
REACHED = "failpoint reached:"  # what stderr says then, before the place's name
_FORM = re.compile(r"([a-z.]+)(?::(kill|hold|block|error))?(?:@([1-9]\d*))?")


@dataclass
class _Armed:
    place: str
    action: Action
    nth: int
    times: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reach(self, place: str) -> None:
        if place != self.place:
            return None
        with self.lock:
            self.times += 1
            if self.times != self.nth:
                return None
        if self.action == "hold":
            return _hold(place)
        _announce(place)
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action == "error":
            raise OSError(errno.EIO, f"failpoint {place}")
        while True:
            time.sleep(3600)


def _hold(place: str) -> None:
    """Wait for a signal; one that comes right after the announcement counts."""
    heard, hear = os.pipe()
    os.set_blocking(hear, False)
    before = signal.set_wakeup_fd(hear)
    try:
        _announce(place)
        os.read(heard, 1)
    finally:
        signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(hear)


def _announce(place: str) -> None:
    sys.stderr.write(f"{REACHED} {place}\n")
    sys.stderr.flush()


_armed: tuple[_Armed, ...] = ()


def check(text: str) -> str:
    """The text, if it is `PLACE[:kill|hold|block|error][@NTH]`, or more of these with commas
    between them. Raises ValueError."""
    _parse(text)
    return text


def arm(text: str | None) -> None:
    """From now on the NTH passage of a place kills this process, unless told otherwise, once."""
    global _armed
    _armed = () if text is None else _parse(text)
    if text is not None:
        sys.stderr.write(f"KD_FAILPOINT={text}: this program will fail on purpose\n")


def failpoint(place: str) -> None:
    """A place. Does nothing unless it is armed."""
    for armed in _armed:
        armed.reach(place)


def _parse(text: str) -> tuple[_Armed, ...]:
    armed = []
    for part in text.split(","):
        found = _FORM.fullmatch(part)
        if found is None or found[1] not in PLACES:
            raise ValueError(f"{part!r} is no failpoint: PLACE[:kill|hold|block|error][@NTH]")
        armed.append(_Armed(found[1], cast(Action, found[2] or "kill"), int(found[3] or 1)))
    return tuple(armed)
