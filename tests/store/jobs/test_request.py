"""Requests: immediate if nothing runs, repeatable, and one terminal state in a race."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select

from distillery.store import jobs
from distillery.store.db.database import Database
from distillery.store.db.tables import Job, Transition
from distillery.store.errors import Conflict, LeaseLost, NotFound, StoreError
from distillery.wire.states import TERMINAL, State
from kdcore.spec.codes import RunCode
from tests.store.makers import (
    LEASE_S,
    TENANT,
    WEIGHTS,
    claimed,
    distill_result,
    new_job,
    state_of,
)


def test_a_queued_job_is_cancelled_at_once_and_again(database: Database) -> None:
    job_id = new_job(database)
    for _ in range(2):
        with database.write() as s:
            assert jobs.request_cancel(s, TENANT, job_id).state is State.CANCELLED
    with database.read() as s:
        assert len(s.scalars(select(Transition)).all()) == 2


def test_a_running_job_is_asked(database: Database) -> None:
    claim = claimed(database)
    for _ in range(2):
        with database.write() as s:
            job = jobs.request_pause(s, TENANT, claim.job_id)
            assert (job.state, job.request) == (State.RUNNING, "pause")
    with database.write() as s:
        assert jobs.resume(s, TENANT, claim.job_id).request is None
        assert jobs.request_cancel(s, TENANT, claim.job_id).request == "cancel"
        for ask in (jobs.request_pause, jobs.resume):
            with pytest.raises(Conflict) as caught:
                ask(s, TENANT, claim.job_id)
            assert caught.value.code == "cancelling"


def test_pause_and_resume_a_queued_job(database: Database) -> None:
    job_id = new_job(database)
    with database.write() as s:
        assert jobs.request_pause(s, TENANT, job_id).state is State.PAUSED
        assert jobs.request_pause(s, TENANT, job_id).state is State.PAUSED
        assert jobs.claim(s, job_id, "w", LEASE_S) is None
        assert jobs.resume(s, TENANT, job_id).state is State.QUEUED
        assert jobs.resume(s, TENANT, job_id).state is State.QUEUED
        jobs.request_pause(s, TENANT, job_id)
        assert jobs.request_cancel(s, TENANT, job_id).state is State.CANCELLED


def test_only_a_failed_job_is_retried_with_a_clean_slate(database: Database) -> None:
    claim = claimed(database)
    with database.write() as s:
        assert jobs.retry(s, TENANT, claim.job_id).state is State.RUNNING
        jobs.fail(s, claim, RunCode.DIVERGED, "x")
        job = jobs.retry(s, TENANT, claim.job_id)
        assert (job.state, job.failures, job.error) == (State.QUEUED, 0, None)
        assert job.finished_at is None
        jobs.request_cancel(s, TENANT, claim.job_id)
        with pytest.raises(Conflict):
            jobs.retry(s, TENANT, claim.job_id)


def test_an_ended_job_takes_no_requests(database: Database) -> None:
    claim = claimed(database)
    with database.write() as s:
        jobs.succeed(s, claim, distill_result(), [WEIGHTS])
        for ask in (jobs.request_cancel, jobs.request_pause, jobs.resume, jobs.retry):
            with pytest.raises(Conflict):
                ask(s, TENANT, claim.job_id)
    assert state_of(database, claim.job_id) == "succeeded"


def test_a_foreign_job_is_a_missing_one(database: Database) -> None:
    job_id = new_job(database)
    for ask in (jobs.request_cancel, jobs.request_pause, jobs.resume, jobs.retry, jobs.get):
        with database.write() as s, pytest.raises(NotFound):
            ask(s, "other", job_id)


def test_cancel_racing_finish_and_reaper_gives_one_terminal_state(database: Database) -> None:
    """F19, with a lapsed lease on top: the first writer decides, and the others notice."""
    for _ in range(4):
        claim = claimed(database, lease_s=-1)
        start = Barrier(4)

        def attempt(which: int, claim: jobs.Claim = claim, start: Barrier = start) -> None:
            start.wait()
            try:
                with database.write() as s:
                    if which == 0:
                        jobs.succeed(s, claim, distill_result(), [WEIGHTS])
                    elif which == 1:
                        jobs.request_cancel(s, TENANT, claim.job_id)
                    elif which == 2:
                        jobs.release(s, claim, State.CANCELLED, "asked to")
                    else:
                        jobs.reap(s)
            except (LeaseLost, Conflict):
                pass
            except StoreError as error:
                raise AssertionError(error) from error

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(attempt, range(4)))
        with database.write() as s:
            if s.get_one(Job, claim.job_id).state not in TERMINAL:
                jobs.request_cancel(s, TENANT, claim.job_id)
        with database.read() as s:
            query = select(Transition.target).where(Transition.job_id == claim.job_id)
            ends = [target for target in s.scalars(query) if State(target) in TERMINAL]
            assert ends == [s.get_one(Job, claim.job_id).state]
