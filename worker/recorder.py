"""The recorder: reads what a run says in events.jsonl. The run is not trusted, so lines are
bounded, parsed strictly, and dropped when they are not events."""

import logging
import math
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from kdcore.spec.events import RUN_EVENT, EndEvent, MetricsEvent, RunEvent
from kdcore.spec.run import EVENTS_FILE

logger = logging.getLogger(__name__)
BATCH_BYTES = 1 << 20  # read at once, and so the longest line


class Recorder:
    """Follows one event file. What the store did not take is read again the next time."""

    def __init__(self, directory: Path):
        self._path = directory / EVENTS_FILE
        self._offset = 0
        self._seq = 0
        self._size = 0
        self.end: EndEvent | None = None

    def has_grown(self) -> bool:
        """Whether the run has written anything since this was last asked."""
        size = self._path.stat().st_size if self._path.exists() else 0
        grown = size != self._size
        self._size = size
        return grown

    def drain(self, append: Callable[[list[RunEvent]], None]) -> bool:
        """Hand the next batch of whole lines to `append`; true: there may be more.

        What `append` raises goes to the caller, and the same batch comes again next time.
        """
        if not self._path.is_file() or self._path.is_symlink():
            return False
        with self._path.open("rb") as file:
            file.seek(self._offset)
            raw = file.read(BATCH_BYTES)
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
                logger.warning("dropped a line that is no event: %.200r", line)
                continue
            last = event.seq
            events.append(event)
        return events


def parse_event(line: bytes) -> RunEvent | None:
    """The event in a line, its numbers finite; none when it is not one."""
    try:
        event = RUN_EVENT.validate_json(line)
    except ValidationError:
        return None
    if isinstance(event, MetricsEvent):
        finite = {name: value for name, value in event.values.items() if math.isfinite(value)}
        return event.model_copy(update={"values": finite})
    return event
