"""I6: events and metric points have no gaps or duplicates."""

from collections import Counter, defaultdict
from itertools import pairwise

from sqlalchemy import func, select

from distillery.store.db.tables import Event, MetricPoint
from distillery.wire.states import State
from tests.faults.invariants.evidence import Evidence, Violation, Violations, by_job

DENSE = 2000  # beyond this step, the points of a long job are downsampled


def series_are_whole(evidence: Evidence) -> Violations:
    """I6: a job's events are numbered from 1 without gaps; (job, series, step) is unique; the steps
    of a succeeded job have no gaps and include its last step."""
    yield from _events_are_numbered(evidence)
    columns = select(MetricPoint.job_id, MetricPoint.series, MetricPoint.step, MetricPoint.attempt)
    rows = evidence.session.execute(columns.order_by(MetricPoint.job_id))
    points = by_job(rows)
    steps = _last_steps(evidence)
    for job in evidence.jobs:
        seen = Counter((point.series, point.step) for point in points.get(job.id, []))
        for (series, step), times in seen.items():
            if times > 1:
                yield Violation(job.id, f"{series} has {times} values at step {step}")
        if job.state is not State.SUCCEEDED:
            continue
        arms: dict[str, dict[int, int]] = defaultdict(dict)
        for point in points.get(job.id, []):
            own = arms[point.series.partition("/")[0]]
            own[point.step] = max(point.attempt, own.get(point.step, 0))
        for arm, attempts in arms.items():
            for message in _gaps(attempts, steps.get((job.id, arm))):
                yield Violation(job.id, f"the {arm}'s points {message}")


def _gaps(attempts: dict[int, int], last: int | None) -> list[str]:
    """What is wrong with the steps, by attempt, of one finished arm."""
    steps = sorted(attempts)
    found = [
        f"have nothing between steps {before} and {after}"
        for before, after in pairwise(steps)
        if after <= DENSE and after - before > steps[0]  # the first step equals the interval
    ]
    if last is not None and last <= DENSE and steps[-1] != last:
        found.append(f"end at step {steps[-1]} of {last}")
    if any(attempts[before] > attempts[after] for before, after in pairwise(steps)):
        found.append("are of an older attempt after a newer one's")
    return found


def _last_steps(evidence: Evidence) -> dict[tuple[str, str], int]:
    """The number of steps of every arm of every job, from its progress events."""
    query = select(Event.job_id, Event.body).where(Event.kind == "progress")
    rows = evidence.session.execute(query)
    return {(row.job_id, row.body["arm"]): int(row.body["steps"]) for row in rows}


def _events_are_numbered(evidence: Evidence) -> Violations:
    query = select(
        Event.job_id, func.count().label("count"), func.min(Event.id), func.max(Event.id)
    ).group_by(Event.job_id)
    numbers = {
        job_id: (count, low, high) for job_id, count, low, high in evidence.session.execute(query)
    }
    for job in evidence.jobs:
        count, low, high = numbers.get(job.id, (0, 1, 0))
        if (low, high, count) != (1, job.last_event, job.last_event):
            yield Violation(
                job.id, f"has {count} events from {low} to {high}; the last is {job.last_event}"
            )
