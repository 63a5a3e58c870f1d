"""What runs say, kept in batches; curves of their metrics; the history of a job's moves."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Row, Select, func, insert, or_, select, update
from sqlalchemy.orm import Session

from distillery.store.db.database import db_now
from distillery.store.db.tables import Attempt, Event, Job, MetricPoint, Transition
from distillery.store.db.upsert import upsert
from distillery.store.jobs import downsampling
from distillery.store.jobs.claim import Claim
from distillery.store.jobs.downsampling import BOUNDS, Bounds
from distillery.store.jobs.move import held
from kdcore.spec.events import MetricsEvent, PhaseEvent, ProgressEvent, RunEvent

MAX_POINTS = 500


@dataclass(frozen=True)
class MetricSeries:
    """Points of one metric by rising step; `downsampled` where points between were left out."""

    name: str
    steps: list[int]
    values: list[float]
    downsampled: bool


def append(
    s: Session,
    claim: Claim,
    events: Sequence[RunEvent],
    bounds: Bounds = BOUNDS,
    said_in: int | None = None,
) -> int:
    """Keep one batch: event rows, metric points, and the job's phase, progress, latest values.

    Events whose `seq` this attempt has already given are skipped, so a batch whose commit went
    unanswered is simply given again. Of a arm's progress events only the last becomes a row, and
    rows and points thin out as they become many. `said_in`: the earlier attempt that said it and
    did not live to see it kept. Returns the job's highest event id. Raises LeaseLost.
    """
    job = held(s, claim.job_id, claim.attempt)
    number = claim.attempt if said_in is None else said_in
    attempt = s.get_one(Attempt, (claim.job_id, number))
    fresh = [event for event in events if event.seq > attempt.last_seq]
    if not fresh:
        return job.last_event
    now = db_now(s)
    values = (name for e in fresh if isinstance(e, MetricsEvent) for name in e.values)
    names = downsampling.admitted(values, job.latest, bounds)
    fresh = [_sound(event, names) for event in fresh]
    kept = downsampling.kept_events(fresh, attempt.events, job.updated_at, now, bounds)
    attempt.last_seq = fresh[-1].seq
    attempt.events += len(kept)
    rows = [_row(attempt, job.last_event + n, event) for n, event in enumerate(kept, 1)]
    if rows:
        s.execute(insert(Event), rows)
    _keep_points(s, attempt, fresh, bounds)
    s.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(
            last_event=job.last_event + len(kept),
            version=Job.version + 1,
            updated_at=now,
            **_outline(job, fresh),
        )
        .execution_options(synchronize_session=False)
    )
    s.flush()
    return job.last_event + len(kept)


def last_to_speak(s: Session, job_id: str) -> int:
    """The newest attempt of which anything is kept; 1 where there is none."""
    spoke = select(func.max(Attempt.number)).where(Attempt.job_id == job_id, Attempt.last_seq > 0)
    return s.scalar(spoke) or 1


def _sound(event: RunEvent, names: Collection[str]) -> RunEvent:
    """The event with values of these series only."""
    if not isinstance(event, MetricsEvent):
        return event
    values = {name: value for name, value in event.values.items() if name in names}
    return event.model_copy(update={"values": values})


def _row(attempt: Attempt, number: int, event: RunEvent) -> dict[str, Any]:
    return {
        "job_id": attempt.job_id,
        "id": number,
        "attempt": attempt.number,
        "kind": event.kind,
        "at": int(event.at * 1000),
        "body": event.model_dump(mode="json", exclude={"seq", "at", "kind"}),
    }


def _keep_points(s: Session, attempt: Attempt, events: Iterable[RunEvent], bounds: Bounds) -> None:
    curves: dict[str, dict[int, float]] = {}
    for event in events:
        if isinstance(event, MetricsEvent):
            for name, value in _finite(event).items():
                curves.setdefault(name, {})[event.step] = value
    rows = [
        {
            "job_id": attempt.job_id,
            "series": name,
            "step": step,
            "value": curve[step],
            "attempt": attempt.number,
        }
        for name, curve in curves.items()
        for step in _thinned_steps(s, attempt.job_id, name, curve, bounds)
    ]
    upsert(s, MetricPoint, rows, "value", "attempt")


def _thinned_steps(
    s: Session, job_id: str, name: str, curve: Iterable[int], bounds: Bounds
) -> Iterable[int]:
    steps = sorted(curve)
    if steps[-1] < bounds.points:
        return steps  # nearly always: no need to ask what is there
    earlier = select(func.max(MetricPoint.step)).where(
        MetricPoint.job_id == job_id, MetricPoint.series == name, MetricPoint.step < steps[0]
    )
    return downsampling.kept_steps(steps, s.scalar(earlier), bounds.points)


def _outline(job: Job, events: Iterable[RunEvent]) -> dict[str, Any]:
    """The columns that keep GET /jobs small: where the run is, and the last of each scalar."""
    columns: dict[str, Any] = {}
    latest = dict(job.latest)
    for event in events:
        match event:
            case PhaseEvent():
                columns["phase"] = event.phase
            case ProgressEvent():
                columns["progress"] = event.model_dump(mode="json", exclude={"seq", "at", "kind"})
            case MetricsEvent():
                latest |= _finite(event)
            case _:
                pass
    return columns | {"latest": latest}


def _finite(event: MetricsEvent) -> dict[str, float]:
    return {name: value for name, value in event.values.items() if math.isfinite(value)}


def page(s: Session, job_id: str, after: int = 0, limit: int = 200) -> list[Event]:
    """Events with ids above `after`, oldest first. The caller has checked the job's tenant."""
    query = select(Event).where(Event.job_id == job_id, Event.id > after)
    return list(s.scalars(query.order_by(Event.id).limit(limit)))


def transitions(s: Session, job_id: str) -> list[Transition]:
    """A job's moves, oldest first. The caller has checked the job's tenant."""
    query = select(Transition).where(Transition.job_id == job_id)
    return list(s.scalars(query.order_by(Transition.id)))


def metrics(
    s: Session,
    job_id: str,
    keys: Sequence[str] | None = None,
    after_step: int | None = None,
    max_points: int = MAX_POINTS,
) -> list[MetricSeries]:
    """Curves by name: all, or `keys`; points above `after_step`; at most `max_points` (>= 2) each.

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
    found = [_series(name, list(own), downsampled=False) for name, own in groupby(rows, _name)]
    for name, total in totals.items():
        if total > max_points:
            one = point.where(MetricPoint.series == name)
            thin = s.execute(_thinned(one, total, max_points))
            found.append(_series(name, list(thin), downsampled=True))
    return sorted(found, key=lambda series: series.name)


def _thinned(points: Select[str, int, float], total: int, most: int) -> Select[Any, Any, Any]:
    """Every n-th of the points of one series, and the last of `total`."""
    place = func.row_number().over(order_by=MetricPoint.step) - 1
    p = points.add_columns(place.label("place")).subquery().c
    stride = (total + most - 2) // (most - 1)
    kept = or_(p.place % stride == 0, p.place == total - 1)
    # What was written since the points were counted waits for the next look.
    return select(p.series, p.step, p.value).where(kept, p.place < total).order_by(p.step)


def _name(row: Row[str, int, float]) -> str:
    return row[0]


def _series(name: str, rows: list[Row[str, int, float]], *, downsampled: bool) -> MetricSeries:
    return MetricSeries(
        name=name,
        steps=[row[1] for row in rows],
        values=[row[2] for row in rows],
        downsampled=downsampled,
    )
