"""Bounds what is stored of a run: event rows and metric points thin out as they become many.

Neither a run of a million steps nor a malicious one may fill the database. A job's phase, progress
and latest values are columns of its row and are never thinned out.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kdcore.spec.events import (
    CheckpointEvent,
    EndEvent,
    LogEvent,
    MetricsEvent,
    PhaseEvent,
    ProgressEvent,
    RunEvent,
)

PARTS = 10  # of an attempt's rows; with each of them, frequent events are kept half as often
FIRST_GAP_MS = 1000
FREQUENT = (MetricsEvent, ProgressEvent, CheckpointEvent)
LAST = (PhaseEvent, EndEvent)
LAST_ROWS = 100  # reserved for these, beyond the bound of the others


@dataclass(frozen=True)
class Bounds:
    """How many event rows of an attempt, series of a job, and points of a series are kept."""

    events: int = 20_000
    batch: int = 200  # frequent events per batch
    series: int = 100
    points: int = 2000  # per series, before it begins to thin out: see `bucket`


BOUNDS = Bounds()


def kept_events(
    batch: Sequence[RunEvent], rows: int, before_ms: int, now_ms: int, bounds: Bounds
) -> list[RunEvent]:
    """Return the events of a batch that become rows.

    `rows`: how many the attempt has already; `before_ms`: when the batch before was stored. At the
    bound, a warning takes the place of further events.
    """
    frequent = [e for e in _without_old_progress(batch) if isinstance(e, FREQUENT)]
    part = rows * PARTS // bounds.events
    gap_ms = FIRST_GAP_MS << min(part, PARTS)
    if part and now_ms // gap_ms == before_ms // gap_ms:
        frequent = []
    chosen = {event.seq for event in spread(frequent, bounds.batch)}
    wanted = [e for e in batch if not isinstance(e, FREQUENT) or e.seq in chosen]
    room = max(0, bounds.events - rows)
    if len(wanted) <= room:
        return wanted
    kept, rest = wanted[:room], wanted[room:]
    if rows <= bounds.events:
        kept.append(_warning(rest[0], bounds))
    last = [event for event in rest if isinstance(event, LAST)]
    spare = max(0, bounds.events + LAST_ROWS - max(rows, bounds.events))
    return kept + last[max(0, len(last) - spare) :]


def _without_old_progress(events: Sequence[RunEvent]) -> Iterable[RunEvent]:
    last = {e.arm: e.seq for e in events if isinstance(e, ProgressEvent)}
    return (e for e in events if not isinstance(e, ProgressEvent) or e.seq == last[e.arm])


def _warning(event: RunEvent, bounds: Bounds) -> LogEvent:
    message = (
        f"this attempt has more than {bounds.events} events: later ones are dropped, except its "
        "phases and its end; metric curves and progress continue"
    )
    return LogEvent(seq=event.seq, at=event.at, level="warning", message=message)


def spread(events: Sequence[RunEvent], most: int) -> Sequence[RunEvent]:
    """Return at most this many events, evenly spread, including the last."""
    stride = -(-len(events) // most)
    return events[(len(events) - 1) % stride :: stride] if stride > 1 else events


def limit_series(
    events: Sequence[RunEvent], known: Collection[str], bounds: Bounds
) -> list[RunEvent]:
    """Return the events without the values of new series that exceed the bound on series."""
    names = (name for e in events if isinstance(e, MetricsEvent) for name in e.values)
    fresh = dict.fromkeys(name for name in names if name not in known)
    refused = set(list(fresh)[max(0, bounds.series - len(known)) :])
    return [_without(event, refused) for event in events] if refused else list(events)


def _without(event: RunEvent, names: Collection[str]) -> RunEvent:
    if not isinstance(event, MetricsEvent):
        return event
    values = {name: value for name, value in event.values.items() if name not in names}
    return event.model_copy(update={"values": values})


def bucket(step: int, points: int) -> tuple[int, int]:
    """Return the width and number of the bucket of a step; one point per bucket is kept.

    Buckets are one step wide at first, two from step `points` on, four from twice that, and so on.
    A million steps leave about `points` * 5, more than a plot can show in any part of the curve.
    """
    width = 1 << (step // points).bit_length()
    return width, step // width


def kept_steps(steps: Iterable[int], before: int | None, points: int) -> Iterator[int]:
    """Yield those of rising steps that start a new bucket, after the step `before` was kept."""
    last = None if before is None else bucket(before, points)
    for step in steps:
        here = bucket(step, points)
        if here != last:
            last = here
            yield step
