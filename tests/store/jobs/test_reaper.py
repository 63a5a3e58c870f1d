"""The reaper: lapsed jobs are requeued, waiting jobs are listed, poison fails."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import select, update

from distillery.store import jobs
from distillery.store.db.database import Database
from distillery.store.db.tables import Job, Transition, Worker
from distillery.store.jobs import workers
from distillery.wire.states import State
from tests.store.makers import LEASE_S, TENANT, claimed, new_job, plain_spec, state_of


def test_a_job_whose_lease_lapsed_is_requeued(database: Database) -> None:
    claim, healthy = claimed(database, lease_s=-1), claimed(database)
    waiting = new_job(database)
    with database.write() as s:
        report = jobs.reap(s)
    assert (report.lapsed, report.waiting) == ([claim.job_id], [waiting])
    assert state_of(database, healthy.job_id) == "running"
    with database.read() as s:
        job = s.get_one(Job, claim.job_id)
        assert (job.state, job.failures, job.attempt) == (State.QUEUED, 1, 1)
        query = select(Transition.message).where(Transition.job_id == claim.job_id)
        assert "worker_lost" in s.scalars(query.order_by(Transition.id.desc())).first()  # type: ignore[operator]


def test_a_job_that_kills_its_workers_is_poison(database: Database) -> None:
    claim = claimed(database, lease_s=-1)
    for _ in range(plain_spec().limits.attempts):
        with database.write() as s:
            jobs.reap(s)
            s.execute(update(Job).values(not_before=0))
            jobs.claim(s, claim.job_id, "w", -1)
    with database.read() as s:
        job = s.get_one(Job, claim.job_id)
        assert job.state is State.FAILED and job.error is not None
        assert job.error["code"] == "poison"


def test_concurrent_reapers_move_a_job_once(database: Database) -> None:
    claim = claimed(database, lease_s=-1)

    def pass_(_: int) -> list[str]:
        with database.write() as s:
            return jobs.reap(s).lapsed

    with ThreadPoolExecutor(6) as pool:
        lapsed = [job_id for found in pool.map(pass_, range(6)) for job_id in found]
    assert lapsed == [claim.job_id]


def test_workers_that_reap_and_claim_at_once_make_one_attempt(database: Database) -> None:
    """F16: eight reapers race for a job whose lease has lapsed."""
    lost = claimed(database, lease_s=-1)
    with database.write() as s:
        s.execute(update(Job).values(request="pause"))  # put back without a backoff
    start = Barrier(8)

    def race(number: int) -> tuple[list[str], list[int]]:
        start.wait()
        with database.write() as s:
            lapsed = jobs.reap(s).lapsed
        with database.write() as s:
            if s.get_one(Job, lost.job_id).state is State.PAUSED:
                jobs.resume(s, TENANT, lost.job_id)
        with database.write() as s:
            heir = jobs.claim(s, lost.job_id, f"w{number}", LEASE_S)
        return lapsed, [] if heir is None else [heir.attempt]

    with ThreadPoolExecutor(8) as pool:
        raced = list(pool.map(race, range(8)))
    assert [job_id for lapsed, _ in raced for job_id in lapsed] == [lost.job_id]
    assert [attempt for _, attempts in raced for attempt in attempts] == [2]
    assert state_of(database, lost.job_id) == "running"


def test_dead_workers_are_forgotten(database: Database) -> None:
    with database.write() as s:
        workers.record_heartbeat(s, "old", 1)
        s.execute(update(Worker).values(seen_at=1))
        jobs.reap(s)
        assert s.scalars(select(Worker)).all() == []


def test_a_claim_after_the_reaper_is_a_new_attempt(database: Database) -> None:
    claim = claimed(database, lease_s=-1)
    with database.write() as s:
        jobs.reap(s)
        s.execute(update(Job).values(not_before=0))
        heir = jobs.claim(s, claim.job_id, "w2", LEASE_S)
    assert heir is not None and heir.attempt == 2
