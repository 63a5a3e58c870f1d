"""Events of runs, appended in batches and read in pages; and the history of a job's moves."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from distillery.store.db.database import db_now
from distillery.store.db.tables import Attempt, Event, Job, Transition
from distillery.store.jobs import curves, downsampling
from distillery.store.jobs.claim import Claim
from distillery.store.jobs.downsampling import BOUNDS, Bounds
from distillery.store.jobs.move import lock_held
from kdcore.spec.events import MetricsEvent, PhaseEvent, ProgressEvent, RunEvent

METRICS = MetricsEvent.model_fields["kind"].default


def append(
    s: Session,
    claim: Claim,
    events: Sequence[RunEvent],
    bounds: Bounds = BOUNDS,
    of_attempt: int | None = None,
) -> int:
    """Keep one batch: event rows, metric points, and the job's phase, progress, latest values.

    Events whose `seq` this attempt has already appended are skipped, so a batch whose commit was
    not confirmed can simply be appended again. Rows and points thin out as they become many (see
    `downsampling`). Values must be finite. `of_attempt`: the earlier attempt that wrote the events,
    but whose worker did not live to append them. Returns the job's highest event id. Raises
    LeaseLost.
    """
    job = lock_held(s, claim.job_id, claim.attempt)
    number = claim.attempt if of_attempt is None else of_attempt
    attempt = s.get_one(Attempt, (claim.job_id, number))
    fresh = [event for event in events if event.seq > attempt.last_seq]
    if not fresh:
        return job.last_event
    now = db_now(s)
    fresh = downsampling.limit_series(fresh, job.latest, bounds)
    points = curves.choose_points(s, job.id, fresh, bounds)
    with_points = {point.seq for point in points}
    batch = [e for e in fresh if not isinstance(e, MetricsEvent) or e.seq in with_points]
    kept = downsampling.kept_events(batch, attempt.events, job.updated_at, now, bounds)
    numbered = list(enumerate(kept, job.last_event + 1))
    attempt.last_seq = fresh[-1].seq
    attempt.events += len(kept)
    if numbered:
        s.execute(insert(Event), [_row(attempt, number, event) for number, event in numbered])
    ids = {event.seq: number for number, event in numbered if isinstance(event, MetricsEvent)}
    curves.write_points(s, attempt, points, ids)
    s.execute(
        update(Job)
        .where(Job.id == job.id)
        .values(
            last_event=job.last_event + len(kept),
            version=Job.version + 1,
            updated_at=now,
            **_summary(job, fresh),
        )
        .execution_options(synchronize_session=False)
    )
    s.flush()
    return job.last_event + len(kept)


def last_attempt_with_events(s: Session, job_id: str) -> int:
    """Return the newest attempt of which events were appended; 1 if there is none."""
    query = select(func.max(Attempt.number)).where(Attempt.job_id == job_id, Attempt.last_seq > 0)
    return s.scalar(query) or 1


def _row(attempt: Attempt, number: int, event: RunEvent) -> dict[str, Any]:
    return {
        "job_id": attempt.job_id,
        "id": number,
        "attempt": attempt.number,
        "kind": event.kind,
        "at": int(event.at * 1000),
        # The values of metrics are points.
        "body": event.model_dump(mode="json", exclude={"seq", "at", "kind", "values"}),
    }


def _summary(job: Job, events: Iterable[RunEvent]) -> dict[str, Any]:
    """The columns that keep GET /jobs small: how far the run is, and the last of each scalar."""
    columns: dict[str, Any] = {}
    latest = dict(job.latest)
    for event in events:
        match event:
            case PhaseEvent():
                columns["phase"] = event.phase
            case ProgressEvent():
                columns["progress"] = event.model_dump(mode="json", exclude={"seq", "at", "kind"})
            case MetricsEvent():
                latest |= event.values
            case _:
                pass
    return columns | {"latest": latest}


def page(s: Session, job_id: str, after: int = 0, limit: int = 200) -> list[Event]:
    """Return events with ids above `after`, oldest first; those of metrics with their `values`.

    The caller has checked the job's tenant.
    """
    query = select(Event).where(Event.job_id == job_id, Event.id > after)
    rows = list(s.scalars(query.order_by(Event.id).limit(limit)))
    of_metrics = {row.id: row for row in rows if row.kind == METRICS}
    steps = {number: row.body["step"] for number, row in of_metrics.items()}
    for number, values in curves.values_of_events(s, job_id, steps).items():
        body = {"step": steps[number], "values": values}
        set_committed_value(of_metrics[number], "body", body)
    return rows


def transitions(s: Session, job_id: str) -> list[Transition]:
    """Return a job's moves, oldest first. The caller has checked the job's tenant."""
    query = select(Transition).where(Transition.job_id == job_id)
    return list(s.scalars(query.order_by(Transition.id)))
