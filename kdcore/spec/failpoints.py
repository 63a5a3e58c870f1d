"""Failpoints: named places where a test can make this process die, wait, or raise an error.

Normally a place is an empty loop that does nothing. Failpoints are armed only when a program
starts: by `KD_FAILPOINT`, which the store's settings read, or, for a run, by its worker with
`--failpoint`. Anyone who can set these can kill the process anyway.
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

# hold: wait for a signal that the program handles; block: wait forever; error: raise OSError.
Action = Literal["kill", "hold", "block", "error"]

PLACES = {
    # API
    "part.keeping": "a part of an upload is on disk and recorded, in a transaction that is open",
    "creation.committing": "a creating request's rows are written, in a transaction that is open",
    "creation.committed": "they are committed, the response is not sent",
    "notification.sending": "a job is committed, no notification is sent",
    "notification.sent": "the broker has accepted the notification",
    # worker
    "claim.committing": "a job is claimed, in a transaction that is still open",
    "claim.committed": "a job is claimed and nothing else has happened",
    "rundir.made": "the run directory is complete, its run not started",
    "lease.renewing": "a lease is about to be renewed",
    "lease.renewed": "it was renewed",
    "events.committing": "a batch of events is written, in a transaction that is still open",
    "events.committed": "it is committed; the worker has not recorded that",
    "blob.writing": "a blob's bytes are under a temporary name, not yet flushed to disk",
    "blob.renaming": "they are flushed, not yet renamed",
    "blob.renamed": "they are renamed, their directory not yet flushed",
    "artifacts.stored": "all results are in storage, no row refers to them",
    "end.committing": "the job's end is written, in a transaction that is still open",
    "end.committed": "the job has ended; nothing is cleaned up",
    # reaper
    "reaper.committing": "lapsed leases are taken back, in a transaction that is still open",
    "reaper.committed": "they are taken back, no notification is sent",
    # run
    "step.made": "an optimizer step was made, before its checkpoint if one is due",
    "checkpoint.writing": "one of a checkpoint's three files is complete, one is incomplete",
    "checkpoint.syncing": "a checkpoint's last file is written, not yet flushed to disk",
    "checkpoint.renaming": "all are flushed, under a temporary name",
    "checkpoint.renamed": "renamed, the directory not yet flushed, old ones not yet removed",
    "checkpoint.made": "old ones are removed, the event is not written yet",
    "result.writing": "students are exported, result.json is not written yet",
    "result.written": "result.json is written, the end event is not",
}
REACHED = "failpoint reached:"  # printed to stderr, before the place's name
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
    """Wait for a signal, which may arrive as soon as the place is announced."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        _announce(place)
        os.read(reader, 1)
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def _announce(place: str) -> None:
    sys.stderr.write(f"{REACHED} {place}\n")
    sys.stderr.flush()


_armed: tuple[_Armed, ...] = ()


def check(text: str) -> str:
    """Return the text if it has the form `PLACE[:kill|hold|block|error][@NTH]`, or several of
    these, separated by commas. Raises ValueError."""
    _parse(text)
    return text


def arm(text: str | None) -> None:
    """Arm the failpoints of a text, each to act once, at the NTH passage of its place."""
    global _armed
    _armed = () if text is None else _parse(text)
    if text is not None:
        sys.stderr.write(f"KD_FAILPOINT={text}: this program will fail on purpose\n")


def failpoint(place: str) -> None:
    """Mark a place; does nothing unless it is armed."""
    for armed in _armed:
        armed.reach(place)


def _parse(text: str) -> tuple[_Armed, ...]:
    armed = []
    for part in text.split(","):
        found = _FORM.fullmatch(part)
        if found is None or found[1] not in PLACES:
            raise ValueError(f"{part!r} is not a failpoint: PLACE[:kill|hold|block|error][@NTH]")
        armed.append(_Armed(found[1], cast(Action, found[2] or "kill"), int(found[3] or 1)))
    return tuple(armed)
