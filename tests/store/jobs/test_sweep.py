"""The sweep: silent workers lose their jobs, waiting jobs are named, poison ends."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select, update

from store import jobs, workers
from store.db import Database
from store.states import State
from store.tables import Job, Transition, Worker
from tests.store.makers import LEASE_S, claimed, new_job, plain_spec, state_of


def test_a_lapsed_lease_goes_back_to_the_queue(database: Database) -> None:
    claim, healthy = claimed(database, lease_s=-1), claimed(database)
    waiting = new_job(database)
    with database.write() as s:
        report = jobs.sweep(s)
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
            jobs.sweep(s)
            s.execute(update(Job).values(not_before=0))
            jobs.claim(s, claim.job_id, "w", -1)
    with database.read() as s:
        job = s.get_one(Job, claim.job_id)
        assert job.state is State.FAILED and job.error is not None
        assert job.error["code"] == "poison"


def test_many_sweepers_move_a_job_once(database: Database) -> None:
    claim = claimed(database, lease_s=-1)

    def pass_(_: int) -> list[str]:
        with database.write() as s:
            return jobs.sweep(s).lapsed

    with ThreadPoolExecutor(6) as pool:
        lapsed = [job_id for found in pool.map(pass_, range(6)) for job_id in found]
    assert lapsed == [claim.job_id]


def test_dead_workers_are_forgotten(database: Database) -> None:
    with database.write() as s:
        workers.beat_worker(s, "old", 1)
        s.execute(update(Worker).values(seen_at=1))
        jobs.sweep(s)
        assert s.scalars(select(Worker)).all() == []


def test_a_claim_after_the_sweep_is_a_new_attempt(database: Database) -> None:
    claim = claimed(database, lease_s=-1)
    with database.write() as s:
        jobs.sweep(s)
        s.execute(update(Job).values(not_before=0))
        heir = jobs.claim(s, claim.job_id, "w2", LEASE_S)
    assert heir is not None and heir.attempt == 2
