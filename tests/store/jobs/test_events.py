"""Events: numbered without gaps, given twice kept once; curves upserted and thinned honestly."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillery.store import jobs
from distillery.store.db.database import Database
from distillery.store.db.tables import Job, MetricPoint
from distillery.store.db.upsert import insert_missing
from distillery.store.jobs import events
from distillery.wire.states import State
from kdcore.spec.events import CheckpointEvent, EndEvent, LogEvent, PhaseEvent, RunEvent
from tests.store.makers import LEASE_S, claimed, metrics_event, progress_event


def append(database: Database, claim: jobs.Claim, *batch: RunEvent) -> int:
    with database.write() as s:
        return events.append(s, claim, batch)


def test_a_batch_is_kept_whole(database: Database) -> None:
    claim = claimed(database)
    batch: list[RunEvent] = [
        PhaseEvent(seq=1, at=12.3456, phase="training"),
        metrics_event(2, 1, loss=2.0, rate=0.1),
        metrics_event(3, 2, loss=1.5),
        LogEvent(seq=4, at=1, level="info", message="hello"),
        CheckpointEvent(seq=5, at=1, arm="student", step=2, path="checkpoints/2"),
        progress_event(6, 2),
        EndEvent(seq=7, at=1, exit="OK", code="ok", message="done"),
    ]
    with database.read() as s:
        version = s.get_one(Job, claim.job_id).version
    assert append(database, claim, *batch) == 7
    with database.read() as s:
        rows = events.page(s, claim.job_id)
        assert [row.id for row in rows] == list(range(1, 8))
        assert [row.kind for row in rows] == [event.kind for event in batch]
        assert (rows[0].at, rows[0].body, rows[0].attempt) == (12345, {"phase": "training"}, 1)
        assert [row.id for row in events.page(s, claim.job_id, after=2, limit=2)] == [3, 4]
        job = s.get_one(Job, claim.job_id)
        assert (job.phase, job.last_event) == ("training", 7)
        assert job.latest == {"loss": 1.5, "rate": 0.1}
        assert job.progress is not None and job.progress["step"] == 2
        assert job.version == version + 1


def test_what_an_earlier_attempt_said_last_is_kept_as_its_own(database: Database) -> None:
    """Its worker died before it wrote that down; the attempt that goes on behind it does so."""
    claim = claimed(database)
    said = [metrics_event(1, 1, loss=2.0), metrics_event(2, 2, loss=1.0)]
    append(database, claim, said[0])
    with database.write() as s:
        jobs.release(s, claim, State.QUEUED, "stopped")
    with database.write() as s:
        second = jobs.claim(s, claim.job_id, "w2", LEASE_S)
        assert second is not None
        assert events.append(s, second, said, said_in=1) == 2
        assert events.append(s, second, said, said_in=1) == 2
        assert events.last_to_speak(s, claim.job_id) == 1
        assert events.append(s, second, [metrics_event(1, 3, loss=0.5)]) == 3
        assert events.last_to_speak(s, claim.job_id) == 2
    with database.read() as s:
        kept = [(e.id, e.attempt, e.body["step"]) for e in events.page(s, claim.job_id)]
        assert kept == [(1, 1, 1), (2, 1, 2), (3, 2, 3)]
        (series,) = events.metrics(s, claim.job_id)
        assert (series.steps, series.values) == ([1, 2, 3], [2.0, 1.0, 0.5])


def test_given_twice_is_kept_once(database: Database) -> None:
    """A commit whose answer was lost is repeated, perhaps with more behind it."""
    claim = claimed(database)
    first = [metrics_event(1, 1, loss=2.0), metrics_event(2, 2, loss=1.0)]
    append(database, claim, *first)
    assert append(database, claim, *first) == 2
    assert append(database, claim, *first, metrics_event(3, 3, loss=0.5)) == 3
    assert append(database, claim) == 3
    with database.read() as s:
        assert [row.id for row in events.page(s, claim.job_id)] == [1, 2, 3]


def test_only_the_last_progress_of_a_batch_becomes_a_row(database: Database) -> None:
    claim = claimed(database)
    append(database, claim, *(progress_event(n, n) for n in range(1, 6)), metrics_event(6, 5, x=1))
    with database.read() as s:
        rows = events.page(s, claim.job_id)
    assert [(row.id, row.kind) for row in rows] == [(1, "progress"), (2, "metrics")]
    assert rows[0].body["step"] == 5


def test_a_later_attempt_goes_on_numbering_and_replaces_points(database: Database) -> None:
    claim = claimed(database)
    append(database, claim, metrics_event(1, 1, loss=3.0), metrics_event(2, 2, loss=2.0))
    with database.write() as s:
        jobs.release(s, claim, State.QUEUED, "stopping")
        heir = jobs.claim(s, claim.job_id, "w2", LEASE_S)
    assert heir is not None
    append(database, heir, metrics_event(1, 2, loss=2.5), metrics_event(2, 3, loss=1.0))
    with database.read() as s:
        rows = events.page(s, claim.job_id)
        assert [(row.id, row.attempt) for row in rows] == [(1, 1), (2, 1), (3, 2), (4, 2)]
        (series,) = events.metrics(s, claim.job_id)
    assert (series.steps, series.values) == ([1, 2, 3], [3.0, 2.5, 1.0])


def test_what_is_not_finite_is_no_point(database: Database) -> None:
    claim = claimed(database)
    append(database, claim, metrics_event(1, 1, loss=math.nan, x=math.inf, y=1.0))
    with database.read() as s:
        assert [series.name for series in events.metrics(s, claim.job_id)] == ["y"]
        assert s.get_one(Job, claim.job_id).latest == {"y": 1.0}
        assert events.page(s, claim.job_id)[0].body["values"]["loss"] is None


def fill(database: Database, job_id: str, count: int, name: str = "loss") -> None:
    rows = [
        {"job_id": job_id, "series": name, "step": 3 * n, "value": float(n), "attempt": 1}
        for n in range(count)
    ]
    with database.write() as s:
        insert_missing(s, MetricPoint, rows)


def kept(count: int, most: int) -> list[int]:
    """The places of a series' points that are answered: every n-th and the last."""
    stride = 1 if count <= most else (count + most - 2) // (most - 1)
    return sorted({*range(0, count, stride), count - 1})


@pytest.mark.parametrize("count", [1, 9, 10, 11, 19, 20, 4000])
def test_long_series_are_thinned_and_say_so(database: Database, count: int) -> None:
    job_id = claimed(database).job_id
    fill(database, job_id, count)
    with database.read() as s:
        (series,) = events.metrics(s, job_id, max_points=10)
    assert series.downsampled is (count > 10)
    assert series.steps == [3 * n for n in kept(count, 10)]
    assert series.values == [step / 3 for step in series.steps]


@given(count=st.integers(11, 3000), most=st.integers(2, 40))
def test_thinning_keeps_as_many_points_as_it_may(count: int, most: int) -> None:
    """Never more than `most`, at least a third of it."""
    assert min(count, most) / 3 <= len(kept(count, most)) <= most


def test_curves_can_be_chosen_and_continued(database: Database) -> None:
    job_id = claimed(database).job_id
    fill(database, job_id, 5, "a")
    fill(database, job_id, 5, "b")
    with database.read() as s:
        assert [series.name for series in events.metrics(s, job_id)] == ["a", "b"]
        (b,) = events.metrics(s, job_id, keys=["b", "none"], after_step=6)
        assert (b.steps, b.downsampled) == ([9, 12], False)
        assert events.metrics(s, job_id, after_step=12) == []


def test_4000_points_are_quick(database: Database) -> None:
    job_id = claimed(database).job_id
    fill(database, job_id, 4000)
    with database.read() as s:
        events.metrics(s, job_id)
        start = time.perf_counter()
        (series,) = events.metrics(s, job_id)
        seconds = time.perf_counter() - start
    assert len(series.steps) <= 500
    assert seconds < 0.25  # about 0.01; the bound is for a busy machine


def test_transitions_are_the_history(database: Database) -> None:
    job_id = claimed(database).job_id
    with database.read() as s:
        moves = events.transitions(s, job_id)
    assert [(m.source, m.target, m.attempt) for m in moves] == [
        (None, "queued", 0),
        ("queued", "running", 1),
    ]


def test_the_last_progress_of_each_leg_is_kept(database: Database) -> None:
    """A batch may hold the student's end and the baseline's start: neither hides the other."""
    claim = claimed(database)
    scratch = progress_event(3, 1).model_copy(update={"arm": "baseline"})
    with database.write() as s:
        events.append(s, claim, [progress_event(1, 9), progress_event(2, 10), scratch])
    with database.read() as s:
        kept = [(row.body["arm"], row.body["step"]) for row in events.page(s, claim.job_id)]
    assert kept == [("student", 10), ("baseline", 1)]
