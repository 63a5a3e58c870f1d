"""Why a job does not go on: one reason at a time, since when, and until when."""

from sqlalchemy import update

from distillery.store import jobs
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Job, ReaperStatus, Worker
from distillery.store.jobs import workers
from distillery.store.ops import reaper_status
from distillery.wire.job_codes import WaitReason
from tests.store.makers import LEASE_S, TENANT, add_job


def test_why_a_queued_job_waits(database: Database) -> None:
    with database.write() as s:
        job, other = add_job(s), add_job(s)
        alone = jobs.waiting_for(s, job)
        assert alone == jobs.Waiting(WaitReason.NO_WORKER, "no worker is running", job.queued_at)
        workers.record_heartbeat(s, "w1", 1)
        assert jobs.waiting_for(s, job) is None
        jobs.claim(s, other.id, "w1", LEASE_S)
        full = jobs.waiting_for(s, job)
        assert full == jobs.Waiting(
            WaitReason.CAPACITY, "other jobs hold the only slot", job.queued_at
        )
        assert jobs.waiting_for(s, s.get_one(Job, other.id)) is None
        workers.record_heartbeat(s, "w2", 1)
        assert jobs.waiting_for(s, job) is None
        until = db_now(s) + 9000
        s.execute(update(Job).where(Job.id == job.id).values(not_before=until))
        s.refresh(job)
        paused = jobs.waiting_for(s, job)
        assert paused is not None
        assert (paused.reason, paused.since, paused.until) == ("backoff", job.queued_at, until)
        workers.remove_worker(s, "w1")
        assert [worker.name for worker in workers.alive(s)] == ["w2"]


def test_waiting_began_when_the_last_worker_was_last_seen(database: Database) -> None:
    with database.write() as s:
        job = add_job(s)
        seen_at = db_now(s) - (workers.ALIVE_S + 5) * 1000
        s.add(Worker(name="w1", slots=1, started_at=0, seen_at=seen_at))
        s.execute(update(Job).values(queued_at=seen_at - 60_000))
        s.refresh(job)
        waiting = jobs.waiting_for(s, job)
    assert waiting is not None
    assert (waiting.reason, waiting.since) == ("no_worker", seen_at)


def test_a_lapsed_lease_holds_no_slot_and_a_late_reaper_is_reported(database: Database) -> None:
    with database.write() as s:
        job, lost = add_job(s), add_job(s)
        workers.record_heartbeat(s, "w1", 1)
        jobs.claim(s, lost.id, "w2", LEASE_S)
        assert jobs.waiting_for(s, lost) is None
        lapsed = db_now(s) - 1
        s.execute(update(Job).where(Job.id == lost.id).values(lease_until=lapsed))
        s.refresh(lost)
        assert jobs.waiting_for(s, job) is None
        waiting = jobs.waiting_for(s, lost)
        assert waiting is not None
        assert (waiting.reason, waiting.since) == ("reaper_late", lapsed)
        reaper_status.record(s, every_s=5, took_s=0.1, reclaimed=0, blob_bytes=None)
        assert jobs.waiting_for(s, lost) is None
        jobs.request_cancel(s, TENANT, job.id)
        assert jobs.waiting_for(s, job) is None


def test_a_reaper_is_late_after_several_of_its_intervals(database: Database) -> None:
    with database.write() as s:
        assert reaper_status.is_late(s)
        for reclaimed in (2, 0, 1):
            reaper_status.record(s, every_s=60, took_s=0.5, reclaimed=reclaimed, blob_bytes=None)
        row = reaper_status.latest(s)
        assert row is not None
        assert (row.count, row.reclaimed, row.took_ms, row.blob_bytes) == (3, 3, 500, None)
        s.execute(update(ReaperStatus).values(at=db_now(s) - 2 * reaper_status.LATE_S * 1000))
        s.refresh(row)
        assert not reaper_status.is_late(s)
        s.execute(update(ReaperStatus).values(at=db_now(s) - 241_000))
        s.refresh(row)
        assert reaper_status.is_late(s)


def test_blobs_are_weighed_now_and_then(database: Database) -> None:
    with database.write() as s:
        assert reaper_status.measure_blobs(s) == 0
        reaper_status.record(s, every_s=5, took_s=0, reclaimed=0, blob_bytes=7)
        s.expire_all()
        assert reaper_status.measure_blobs(s) is None
        reaper_status.record(s, every_s=5, took_s=0, reclaimed=0, blob_bytes=None)
        s.expire_all()
        row = reaper_status.latest(s)
        assert row is not None and row.blob_bytes == 7
