"""Downsampling bounds the rows and points of a run, however long it is or much it writes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillery.store.db.database import Database
from distillery.store.db.tables import Attempt, Job, MetricPoint
from distillery.store.jobs import curves, downsampling, events
from distillery.store.jobs.downsampling import BOUNDS, LAST_ROWS, Bounds
from kdcore.spec.events import EndEvent, LogEvent, PhaseEvent, RunEvent
from tests.store.makers import claimed, metrics_event, progress_event

SMALL = Bounds(events=40, batch=4, series=3, points=8)


def log_event(seq: int, message: str = "hello") -> LogEvent:
    return LogEvent(seq=seq, at=1, level="info", message=message)


def test_a_million_steps_leave_some_thousand_points() -> None:
    kept = list(downsampling.kept_steps(range(1_000_001), None, BOUNDS.points))
    assert kept[:2001] == list(range(2001)), "the beginning is whole"
    assert 10_000 < len(kept) < 6 * BOUNDS.points
    widest = max((b - a) / b for a, b in itertools.pairwise(kept) if b > 2000)
    assert widest < 2 / BOUNDS.points, "every stretch of the curve has its points"


@given(st.lists(st.integers(0, 10**12), max_size=60, unique=True), st.integers(0, 60))
def test_it_does_not_matter_how_steps_come_in_batches(steps: list[int], cut: int) -> None:
    steps = sorted(steps)
    whole = list(downsampling.kept_steps(steps, None, 8))
    first = list(downsampling.kept_steps(steps[:cut], None, 8))
    rest = list(downsampling.kept_steps(steps[cut:], first[-1] if first else None, 8))
    assert first + rest == whole


def test_points_thin_out_in_the_database_and_the_last_value_stays(database: Database) -> None:
    claim = claimed(database)
    for seq in range(1, 41):
        batch = [metrics_event(seq * 10 + n, (seq - 1) * 10 + n, loss=float(n)) for n in range(10)]
        with database.write() as s:
            events.append(s, claim, batch, SMALL)
    with database.read() as s:
        kept = [row.step for row in s.query(MetricPoint).order_by(MetricPoint.step)]
        assert kept == list(downsampling.kept_steps(range(400), None, SMALL.points))
        assert len(kept) < 40
        assert s.get_one(Job, claim.job_id).latest == {"loss": 9.0}


def test_events_show_the_points_that_are_kept(database: Database) -> None:
    """An event without kept points gets no row, and points without a row belong to no event."""
    claim = claimed(database)
    batch = [metrics_event(n, n, loss=float(n)) for n in range(1, 400)]
    with database.write() as s:
        events.append(s, claim, batch, SMALL)
    kept = set(downsampling.kept_steps(range(1, 400), None, SMALL.points))
    with database.read() as s:
        points = s.query(MetricPoint).all()
        rows = events.page(s, claim.job_id)
    assert {point.step for point in points} == kept
    assert len(rows) == SMALL.batch and {row.body["step"] for row in rows} < kept
    assert all(row.body["values"] == {"loss": float(row.body["step"])} for row in rows)
    shown = {point.step: point.event for point in points if point.event is not None}
    assert shown == {row.body["step"]: row.id for row in rows}


def test_a_resumed_attempt_repeats_steps_in_place(database: Database) -> None:
    claim = claimed(database)
    for first in (1, 200):  # the same steps twice, as after a resume
        batch = [metrics_event(first + n, n, loss=float(first)) for n in range(100)]
        with database.write() as s:
            events.append(s, claim, batch, SMALL)
    with database.read() as s:
        rows = s.query(MetricPoint).all()
    assert [row.value for row in rows] == [200.0] * len(rows)
    assert len(rows) == len(list(downsampling.kept_steps(range(100), None, SMALL.points)))


@pytest.mark.parametrize("lines", [7, 6], ids=["bound met between batches", "bound met in a batch"])
def test_rows_stop_at_the_bound_with_one_warning_but_for_the_end(
    database: Database, lines: int
) -> None:
    claim, seq = claimed(database), 0
    for _ in range(30):
        batch: list[RunEvent] = [log_event(seq := seq + 1) for _ in range(lines)]
        batch.append(metrics_event(seq := seq + 1, seq, loss=float(seq)))
        with database.write() as s:
            events.append(s, claim, batch, SMALL)
    end = EndEvent(seq=seq + 2, at=1, exit="OK", code="ok", message="done")
    with database.write() as s:
        events.append(s, claim, [PhaseEvent(seq=seq + 1, at=1, phase="saving"), end], SMALL)
    with database.read() as s:
        rows = events.page(s, claim.job_id, limit=1000)
        job = s.get_one(Job, claim.job_id)
        attempt = s.get_one(Attempt, (claim.job_id, 1))
    assert [row.id for row in rows] == list(range(1, len(rows) + 1)), "numbered without gaps"
    assert [row.kind for row in rows[-2:]] == ["phase", "end"]
    warnings = [row for row in rows if row.body.get("level") == "warning"]
    assert [row.id for row in warnings] == [SMALL.events + 1]
    assert "40 events" in warnings[0].body["message"]
    assert len(rows) == attempt.events == SMALL.events + 3
    assert (job.latest, job.phase, job.last_event) == ({"loss": float(seq)}, "saving", len(rows))


def test_a_flood_of_ends_ends_too() -> None:
    ends = [EndEvent(seq=n, at=1, exit="OK", code="ok", message="") for n in range(1, 500)]
    rows = 0
    for _ in range(10):
        rows += len(downsampling.kept_events(ends, rows, 0, 0, SMALL))
    assert rows == SMALL.events + LAST_ROWS + 1


def test_frequent_events_become_rarer_as_rows_become_many() -> None:
    """A job of days with events every second can be followed and stays within the bound."""
    rows, kept_at, now_ms = 0, [], 0
    batch: list[RunEvent] = [metrics_event(1, 1, loss=1.0), progress_event(2, 1)]
    for _ in range(7 * 24 * 3600):
        before_ms, now_ms = now_ms, now_ms + 1000
        if kept := downsampling.kept_events(batch, rows, before_ms, now_ms, BOUNDS):
            kept_at.append(now_ms)
        rows += len(kept)
    assert rows < BOUNDS.events
    assert kept_at[:1000] == list(range(1000, 1_001_000, 1000))
    assert max(b - a for a, b in itertools.pairwise(kept_at)) <= 512_000


def test_of_a_batch_of_many_some_are_kept_and_the_last(database: Database) -> None:
    claim = claimed(database)
    with database.write() as s:
        events.append(s, claim, [metrics_event(n, n, loss=1.0) for n in range(1, 1000)])
    with database.read() as s:
        steps = [row.body["step"] for row in events.page(s, claim.job_id, limit=1000)]
    assert len(steps) == BOUNDS.batch and steps[-1] == 999


def test_no_more_series_than_there_may_be(database: Database) -> None:
    claim = claimed(database)
    with database.write() as s:
        events.append(s, claim, [metrics_event(1, 1, a=1.0, b=1.0)], SMALL)
        events.append(s, claim, [metrics_event(2, 2, c=2.0, d=2.0, a=2.0)], SMALL)
    with database.read() as s:
        assert s.get_one(Job, claim.job_id).latest == {"a": 2.0, "b": 1.0, "c": 2.0}
        assert [series.name for series in curves.curves(s, claim.job_id)] == ["a", "b", "c"]
        assert set(events.page(s, claim.job_id)[1].body["values"]) == {"c", "a"}
