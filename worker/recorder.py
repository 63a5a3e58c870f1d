"""The recorder: reads what a run says in events.jsonl. The run is not trusted, so lines are
bounded, parsed strictly, and dropped when they are not events."""

import logging
import math
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from distillery.worker.rundir import BadRunDir, open_inside
from kdcore.spec.events import (
    RUN_EVENT,
    EndEvent,
    LogEvent,
    MetricsEvent,
    PhaseEvent,
    RunEvent,
)
from kdcore.spec.run import EVENTS_FILE

logger = logging.getLogger(__name__)
BATCH_BYTES = 1 << 20  # read at once
LINE_BYTES = 32 << 10  # the longest event
MESSAGE_CHARS = 4000  # of a line for a person
NAME_CHARS = 100  # of a metric or a phase
MOST_STEPS = 10**12
MOST_S = 2**33  # no clock shows a later time, nor one before 1970
COMPLAINTS = 10  # lines of the worker's log about what one run says that is no event


class Recorder:
    """Follows one event file. What the store did not take is read again the next time."""

    def __init__(self, directory: Path):
        self._path = directory / EVENTS_FILE
        self._offset = 0
        self._seq = 0
        self._complaints = 0
        self.size = 0
        self.end: EndEvent | None = None

    def has_grown(self) -> bool:
        """Whether the run has written anything since this was last asked."""
        try:
            size = self._path.lstat().st_size
        except FileNotFoundError:
            size = 0
        grown = size != self.size
        self.size = size
        return grown

    def discard(self) -> None:
        """Remove the file of a run that is gone, and that nobody will read."""
        self._path.unlink(missing_ok=True)

    def drain(self, append: Callable[[list[RunEvent]], None]) -> bool:
        """Hand the next batch of whole lines to `append`; true: there may be more.

        What `append` raises goes to the caller, and the same batch comes again next time.
        """
        try:
            with open_inside(self._path.parent, self._path.name) as file:
                file.seek(self._offset)
                raw = file.read(BATCH_BYTES)
        except (BadRunDir, FileNotFoundError):
            return False  # not yet there, no file, or left on another machine
        whole, newline, rest = raw.rpartition(b"\n")
        if not newline:
            # A line longer than a batch is no event of ours: step over what there is of it.
            self._offset += len(raw) if len(raw) == BATCH_BYTES else 0
            return len(raw) == BATCH_BYTES
        events = self._parse(whole)
        if events:
            append(events)
        self._offset += len(raw) - len(rest)
        self._seq = max([self._seq, *(event.seq for event in events)])
        self.end = next((e for e in events if isinstance(e, EndEvent)), self.end)
        return len(raw) == BATCH_BYTES

    def _parse(self, whole: bytes) -> list[RunEvent]:
        events: list[RunEvent] = []
        last = self._seq
        for line in whole.splitlines():
            # No database stores a NUL in a text.
            event = parse_event(line.replace(b"\\u0000", b""))
            if event is None or event.seq <= last:
                self._complain(line)
                continue
            last = event.seq
            events.append(event)
        return events

    def _complain(self, line: bytes) -> None:
        self._complaints += 1
        if self._complaints <= COMPLAINTS:
            logger.warning("%s: dropped a line that is no event: %.200r", self._path, line)
        if self._complaints == COMPLAINTS:
            logger.warning("%s: later ones are dropped without a word", self._path)


def parse_event(line: bytes) -> RunEvent | None:
    """The event in a line, its numbers finite and its texts bounded; none when it is not one."""
    if len(line) > LINE_BYTES:
        return None
    try:
        event = RUN_EVENT.validate_json(line)
    except ValidationError:
        return None
    if not (0 <= event.at <= MOST_S and event.seq <= MOST_STEPS):
        return None
    match event:
        case MetricsEvent():
            return _sound_metrics(event)
        case PhaseEvent() if len(event.phase) > NAME_CHARS:
            return None
        case LogEvent() | EndEvent():
            return event.model_copy(update={"message": event.message[:MESSAGE_CHARS]})
        case _:
            return event


def _sound_metrics(event: MetricsEvent) -> MetricsEvent | None:
    if event.step > MOST_STEPS:
        return None
    finite = {
        name: value
        for name, value in event.values.items()
        if math.isfinite(value) and len(name) <= NAME_CHARS
    }
    return event.model_copy(update={"values": finite})
