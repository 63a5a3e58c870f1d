"""Reads the events that a run writes to events.jsonl.

The run is not trusted: lines are bounded and parsed strictly, and lines that are not events are
dropped.
"""

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
from kdcore.spec.tail import read_lines

logger = logging.getLogger(__name__)
BATCH_BYTES = 1 << 20
LINE_BYTES = 32 << 10  # longest event
MESSAGE_CHARS = 4000  # longest message of an event
NAME_CHARS = 100  # longest name of a metric or a phase
MAX_STEP = 10**12
MAX_TIME_S = 2**33  # since 1970
MAX_COMPLAINTS = 10  # warnings in the worker's log about lines of one run that are not events


class Recorder:
    """Follows one event file. A batch that the store did not accept is read again."""

    def __init__(self, directory: Path):
        self._path = directory / EVENTS_FILE
        self._offset = 0
        self._seq = 0
        self._complaints = 0
        self.size = 0
        self.end: EndEvent | None = None

    def has_grown(self) -> bool:
        """Whether the run has written anything since the last call."""
        try:
            size = self._path.lstat().st_size
        except FileNotFoundError:
            size = 0
        grown = size != self.size
        self.size = size
        return grown

    def discard(self) -> None:
        """Delete the file, once the run is gone."""
        self._path.unlink(missing_ok=True)

    def drain(self, append: Callable[[list[RunEvent]], None]) -> bool:
        """Pass the next batch of events to `append`; return whether there may be more.

        If `append` raises, the exception is passed on and the next call reads the same batch.
        """
        try:
            with open_inside(self._path.parent, self._path.name) as file:
                batch = read_lines(file, self._offset, BATCH_BYTES)
        except (BadRunDir, FileNotFoundError):
            return False  # not written yet, not a regular file, or left on another machine
        events = self._parse(batch.lines)
        if events:
            append(events)
        self._offset = batch.end
        self._seq = max([self._seq, *(event.seq for event in events)])
        self.end = next((e for e in events if isinstance(e, EndEvent)), self.end)
        return batch.is_full

    def _parse(self, lines: list[bytes]) -> list[RunEvent]:
        events: list[RunEvent] = []
        last = self._seq
        for line in lines:
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
        if self._complaints <= MAX_COMPLAINTS:
            logger.warning("%s: dropped a line that is not an event: %.200r", self._path, line)
        if self._complaints == MAX_COMPLAINTS:
            logger.warning("%s: further such lines are dropped silently", self._path)


def parse_event(line: bytes) -> RunEvent | None:
    """Parse a line, leaving out values that are not finite and cutting long messages. None if the
    line is not an event."""
    if len(line) > LINE_BYTES:
        return None
    try:
        event = RUN_EVENT.validate_json(line)
    except ValidationError:
        return None
    if not (0 <= event.at <= MAX_TIME_S and event.seq <= MAX_STEP):
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
    if event.step > MAX_STEP:
        return None
    finite = {
        name: value
        for name, value in event.values.items()
        if math.isfinite(value) and len(name) <= NAME_CHARS
    }
    return event.model_copy(update={"values": finite})
