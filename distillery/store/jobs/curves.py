"""Metric values: stored once, as points of curves; events show the points that came with them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, func, or_, select
from sqlalchemy.orm import Session

from distillery.store.db.tables import Attempt, Job, MetricPoint
from distillery.store.db.upsert import upsert
from distillery.store.jobs import downsampling
from distillery.store.jobs.downsampling import Bounds
from kdcore.spec.events import MetricsEvent, RunEvent

MAX_POINTS = 500


class Point(NamedTuple):
    """One value of a series. `seq`: of the event that it came with."""

    series: str
    step: int
    value: float
    seq: int


@dataclass(frozen=True)
class MetricSeries:
    """Points of one metric by rising step; `downsampled` where points between were left out."""

    name: str
    steps: list[int]
    values: list[float]
    downsampled: bool


def choose_points(
    s: Session, job_id: str, events: Iterable[RunEvent], bounds: Bounds
) -> list[Point]:
    """Return the points of a batch that are kept; of several at one step the last."""
    curves: dict[str, dict[int, Point]] = {}
    for event in events:
        if isinstance(event, MetricsEvent):
            for name, value in event.values.items():
                point = Point(name, event.step, value, event.seq)
                curves.setdefault(name, {})[event.step] = point
    return [
        curve[step]
        for name, curve in curves.items()
        for step in _kept_steps(s, job_id, name, curve, bounds)
    ]


def _kept_steps(
    s: Session, job_id: str, name: str, curve: Iterable[int], bounds: Bounds
) -> Iterable[int]:
    steps = sorted(curve)
    if steps[-1] < bounds.points:
        return steps  # nearly always: no need to query what is there
    earlier = select(func.max(MetricPoint.step)).where(
        MetricPoint.job_id == job_id, MetricPoint.series == name, MetricPoint.step < steps[0]
    )
    return downsampling.kept_steps(steps, s.scalar(earlier), bounds.points)


def write_points(
    s: Session, attempt: Attempt, points: Iterable[Point], event_ids: Mapping[int, int]
) -> None:
    """Insert points, replacing those of the same series and step. `event_ids`: by `seq`, of the
    events that became rows; other points are shown by no event."""
    rows = [
        {
            "job_id": attempt.job_id,
            "series": point.series,
            "step": point.step,
            "value": point.value,
            "attempt": attempt.number,
            "event": event_ids.get(point.seq),
        }
        for point in points
    ]
    upsert(s, MetricPoint, rows, "value", "attempt", "event")


def values_of_events(
    s: Session, job_id: str, steps: Mapping[int, int]
) -> dict[int, dict[str, float]]:
    """Return the values that events show, by event id; `steps` has the step of each event.

    Values that a later attempt replaced are the later event's.
    """
    shown: dict[int, dict[str, float]] = {event: {} for event in steps}
    if not steps:
        return shown
    series = s.scalar(select(Job.latest).where(Job.id == job_id)) or {}
    # Names and steps, not event ids: this is how the primary key finds the few rows.
    query = select(MetricPoint.series, MetricPoint.value, MetricPoint.event).where(
        MetricPoint.job_id == job_id,
        MetricPoint.series.in_(sorted(series)),
        MetricPoint.step.in_(sorted(set(steps.values()))),
    )
    for name, value, event in s.execute(query.order_by(MetricPoint.series)):
        if event in shown:
            shown[event][name] = value
    return shown


def curves(
    s: Session,
    job_id: str,
    keys: Sequence[str] | None = None,
    after_step: int | None = None,
    max_points: int = MAX_POINTS,
) -> list[MetricSeries]:
    """Return curves by name: all, or `keys`; points above `after_step`; at most `max_points` (>= 2)
    each.

    A longer series keeps every n-th point and its last. The caller has checked the job's tenant.
    """
    assert max_points >= 2, max_points
    of_job = [MetricPoint.job_id == job_id]
    if keys is not None:
        of_job.append(MetricPoint.series.in_(keys))
    if after_step is not None:
        of_job.append(MetricPoint.step > after_step)
    count = select(MetricPoint.series, func.count()).where(*of_job).group_by(MetricPoint.series)
    totals = {row[0]: row[1] for row in s.execute(count)}
    short = [name for name, total in totals.items() if total <= max_points]
    point = select(MetricPoint.series, MetricPoint.step, MetricPoint.value).where(*of_job)
    whole = point.where(MetricPoint.series.in_(short))
    rows = s.execute(whole.order_by(MetricPoint.series, MetricPoint.step)) if short else ()
    series = [_series(name, list(own), downsampled=False) for name, own in _by_name(rows)]
    for name, total in totals.items():
        if total > max_points:
            one = point.where(MetricPoint.series == name)
            thinned = s.execute(_every_nth(one, total, max_points))
            series.append(_series(name, list(thinned), downsampled=True))
    return sorted(series, key=lambda one: one.name)


def _every_nth(points: Select[str, int, float], total: int, most: int) -> Select[Any, Any, Any]:
    """Select every n-th of the points of one series, and the last of `total`."""
    place = func.row_number().over(order_by=MetricPoint.step) - 1
    p = points.add_columns(place.label("place")).subquery().c
    stride = (total + most - 2) // (most - 1)
    kept = or_(p.place % stride == 0, p.place == total - 1)
    # Points written since they were counted are left to the next query.
    return select(p.series, p.step, p.value).where(kept, p.place < total).order_by(p.step)


def _by_name(
    rows: Iterable[Row[str, int, float]],
) -> Iterator[tuple[str, Iterator[Row[str, int, float]]]]:
    return groupby(rows, lambda row: row[0])


def _series(name: str, rows: list[Row[str, int, float]], *, downsampled: bool) -> MetricSeries:
    return MetricSeries(
        name=name,
        steps=[row[1] for row in rows],
        values=[row[2] for row in rows],
        downsampled=downsampled,
    )
