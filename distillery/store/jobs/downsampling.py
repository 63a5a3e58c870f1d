"""How much of what a run says is kept: rows and points thin out as they become many.

A run of a million steps, or one that means harm, must not fill the database. Nothing that decides
how a job stands is lost: its phase, progress and latest values are columns of its row.
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

PARTS = 10  # of an attempt's rows; with each, what may be thinned comes half as often
FIRST_GAP_MS = 1000
FREQUENT = (MetricsEvent, ProgressEvent, CheckpointEvent)
LAST = (PhaseEvent, EndEvent)
LAST_ROWS = 100  # for these, beyond the others' bound


@dataclass(frozen=True)
class Bounds:
    """What is kept of one attempt (events) and of one job (series; points of each)."""

    events: int = 20_000
    batch: int = 200  # frequent events of one batch
    series: int = 100
    points: int = 2000  # where a series begins to thin out: see `bucket`


BOUNDS = Bounds()


def kept_events(
    batch: Sequence[RunEvent], rows: int, before_ms: int, now_ms: int, bounds: Bounds
) -> list[RunEvent]:
    """What becomes rows of a batch, when the attempt has so many `rows` already and the batch
    before came at `before_ms`. Where the bound is met a warning takes the place of what follows."""
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
        f"this attempt has said more than {bounds.events} events: later ones are not kept, but for "
        "its phases and its end; metrics and progress go on"
    )
    return LogEvent(seq=event.seq, at=event.at, level="warning", message=message)


def spread(events: Sequence[RunEvent], most: int) -> Sequence[RunEvent]:
    """At most so many of them, evenly, the last among them."""
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
    """The stretch of steps that a step lies in, of which one point is kept: every step is one at
    first, from `points` on two are, from twice that four, and so on. A million steps leave some
    `points` * 5, and every stretch of the curve as many as a picture has room for."""
    width = 1 << (step // points).bit_length()
    return width, step // width


def kept_steps(steps: Iterable[int], before: int | None, points: int) -> Iterator[int]:
    """Those of rising steps that begin a new cell, after the step `before` was kept."""
    last = None if before is None else bucket(before, points)
    for step in steps:
        here = bucket(step, points)
        if here != last:
            last = here
            yield step
