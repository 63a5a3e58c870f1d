"""Expired jobs are deleted with all their rows, in small batches, and no others."""

import pytest
from sqlalchemy import func, select, update

from distillery.store import jobs
from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.db.database import Database
from distillery.store.db.tables import (
    Artifact,
    Attempt,
    Event,
    Job,
    MetricPoint,
    Model,
    Table,
    Transition,
)
from distillery.store.jobs import events
from distillery.store.ops.retention import Collector, Usage
from distillery.store.ops.retention import jobs as retention
from distillery.wire.job_codes import JobCode
from distillery.wire.states import State
from tests.store.makers import (
    TENANT,
    WEIGHTS,
    claimed,
    distill_result,
    metrics_event,
    new_job,
    state_of,
)

OF_JOBS: tuple[type[Table], ...] = (Job, Event, MetricPoint, Transition, Attempt, Artifact)


def finished(database: Database, ago_s: float, points: int = 5) -> str:
    """A job that succeeded this long ago."""
    claim = claimed(database)
    with database.write() as s:
        batch = [metrics_event(n, n, loss=1.0) for n in range(1, points + 1)]
        events.append(s, claim, batch)
        job = jobs.succeed(s, claim, distill_result(), [WEIGHTS])
        assert job.finished_at is not None
        job.finished_at -= int(ago_s * 1000)
    return claim.job_id


def rows(database: Database) -> dict[str, int]:
    with database.read() as s:
        return {
            table.__tablename__: s.scalar(select(func.count()).select_from(table)) or 0
            for table in OF_JOBS
        }


def kinds(usage: list[Usage]) -> dict[str, int]:
    return {each.kind: each.count for each in usage if each.count}


def test_only_jobs_that_ended_long_ago_are_deleted_and_their_students_stay(
    collector: Collector, blobs: LocalBlobs
) -> None:
    database = collector.database
    fresh, waiting = finished(database, 60), new_job(database)
    left = rows(database)
    old = finished(database, 7200)
    before = collector.count()
    assert kinds(before) == {"jobs": 1} and before[0].size == WEIGHTS.size
    gone, complete = collector.collect(None, 60)
    assert (kinds(gone), complete) == ({"jobs": 1}, True)
    assert rows(database) == left
    with database.read() as s:
        assert s.get(Job, old) is None
        assert s.get(Job, fresh) is not None and s.get(Job, waiting) is not None
        assert s.scalars(select(Model).where(Model.source_job == old)).one().state == "ready"


def test_a_long_job_is_deleted_in_small_transactions(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS", 10)
    database = collector.database
    finished(database, 7200, points=35)
    left = rows(database)["metric_points"]
    for _ in range(3):
        with database.write() as s:
            assert retention.collect(s, None, 3600) == (Usage("jobs"), True)
        now = rows(database)["metric_points"]
        assert now == left - 10 and rows(database)["jobs"] == 1
        left = now
    collector.collect(None, 60)
    assert set(rows(database).values()) == {0}


def test_another_tenants_jobs_stay(collector: Collector) -> None:
    finished(collector.database, 7200)
    assert kinds(collector.count("other")) == {}
    assert kinds(collector.collect("other", 60)[0]) == {}
    assert kinds(collector.count(TENANT)) == {"jobs": 1}
    assert rows(collector.database)["jobs"] == 1


def test_a_retried_job_stays(collector: Collector) -> None:
    claim = claimed(collector.database)
    with collector.database.write() as s:
        jobs.fail(s, claim, JobCode.KILLED, "x")
        s.execute(update(Job).values(finished_at=1))
    assert kinds(collector.count()) == {"jobs": 1}
    with collector.database.write() as s:
        jobs.retry(s, TENANT, claim.job_id)
    collector.collect(None, 60)
    assert state_of(collector.database, claim.job_id) == State.QUEUED


def test_for_ever_is_the_default(database: Database) -> None:
    finished(database, 10**9)
    with database.write() as s:
        assert retention.count(s, None, None) == Usage("jobs")
        assert retention.collect(s, None, None) == (Usage("jobs"), False)
