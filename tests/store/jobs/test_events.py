"""Events: numbered without gaps, appended twice kept once, with values that are stored once."""

from sqlalchemy import select

from distillery.store import jobs
from distillery.store.db.database import Database
from distillery.store.db.tables import Event, Job
from distillery.store.jobs import curves, events
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


def test_events_that_an_earlier_attempt_wrote_last_are_kept_as_its_own(database: Database) -> None:
    """Its worker died before it wrote that down; the attempt that goes on behind it does so."""
    claim = claimed(database)
    written = [metrics_event(1, 1, loss=2.0), metrics_event(2, 2, loss=1.0)]
    append(database, claim, written[0])
    with database.write() as s:
        jobs.release(s, claim, State.QUEUED, "stopped")
    with database.write() as s:
        second = jobs.claim(s, claim.job_id, "w2", LEASE_S)
        assert second is not None
        assert events.append(s, second, written, of_attempt=1) == 2
        assert events.append(s, second, written, of_attempt=1) == 2
        assert events.last_attempt_with_events(s, claim.job_id) == 1
        assert events.append(s, second, [metrics_event(1, 3, loss=0.5)]) == 3
        assert events.last_attempt_with_events(s, claim.job_id) == 2
    with database.read() as s:
        kept = [(e.id, e.attempt, e.body["step"]) for e in events.page(s, claim.job_id)]
        assert kept == [(1, 1, 1), (2, 1, 2), (3, 2, 3)]
        (series,) = curves.curves(s, claim.job_id)
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


def test_a_later_attempt_continues_the_numbering_and_replaces_points(database: Database) -> None:
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
        (series,) = curves.curves(s, claim.job_id)
    assert (series.steps, series.values) == ([1, 2, 3], [3.0, 2.5, 1.0])


def test_values_are_stored_once_as_points(database: Database) -> None:
    """Event rows have none; a page shows those of every event as they were appended."""
    claim = claimed(database)
    batch = [
        metrics_event(1, 10, loss=2.0, rate=0.1),
        metrics_event(2, 10, accuracy=0.5),
        metrics_event(3, 11, loss=1.5),
        metrics_event(4, 10, scratch=0.25),
    ]
    append(database, claim, *batch)
    with database.read() as s:
        stored = s.scalars(select(Event.body).order_by(Event.id)).all()
        assert stored == [{"step": event.step} for event in batch]
        shown = [row.body for row in events.page(s, claim.job_id)]
        assert shown == [{"step": event.step, "values": event.values} for event in batch]
        assert [row.body for row in events.page(s, claim.job_id, after=2, limit=1)] == shown[2:3]


def test_an_event_shows_no_value_that_a_later_attempt_replaced(database: Database) -> None:
    claim = claimed(database)
    append(database, claim, metrics_event(1, 1, loss=3.0, rate=1.0), metrics_event(2, 2, loss=2.0))
    with database.write() as s:
        jobs.release(s, claim, State.QUEUED, "stopping")
        heir = jobs.claim(s, claim.job_id, "w2", LEASE_S)
    assert heir is not None
    append(database, heir, metrics_event(1, 1, loss=2.5), metrics_event(2, 2, loss=1.5))
    with database.read() as s:
        shown = [(row.id, row.body["values"]) for row in events.page(s, claim.job_id)]
    assert shown == [(1, {"rate": 1.0}), (2, {}), (3, {"loss": 2.5}), (4, {"loss": 1.5})]


def test_transitions_are_the_history(database: Database) -> None:
    job_id = claimed(database).job_id
    with database.read() as s:
        moves = events.transitions(s, job_id)
    assert [(m.source, m.target, m.attempt) for m in moves] == [
        (None, "queued", 0),
        ("queued", "running", 1),
    ]


def test_the_last_progress_of_each_arm_is_kept(database: Database) -> None:
    """A batch may hold the student's end and the baseline's start: neither hides the other."""
    claim = claimed(database)
    scratch = progress_event(3, 1).model_copy(update={"arm": "baseline"})
    with database.write() as s:
        events.append(s, claim, [progress_event(1, 9), progress_event(2, 10), scratch])
    with database.read() as s:
        kept = [(row.body["arm"], row.body["step"]) for row in events.page(s, claim.job_id)]
    assert kept == [("student", 10), ("baseline", 1)]
