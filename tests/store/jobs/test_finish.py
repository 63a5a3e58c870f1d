"""Ends: all of an attempt's effects in one transaction, or a named reason."""

from typing import Any

import pytest
from sqlalchemy import select, update

from distillery.store import jobs
from distillery.store.catalog import artifacts
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Artifact, Attempt, Job, Model
from distillery.store.jobs.move import backoff_s
from distillery.wire.job_codes import JobCode
from distillery.wire.states import State
from kdcore.spec.spec_codes import SpecCode
from tests.store.makers import LEASE_S, TENANT, WEIGHTS, claimed, distill_result, plain_spec

CONFIG = jobs.NewArtifact("config", "config.json", "application/json", 2, "cd" * 32)


def test_success_shows_artifacts_student_and_figures_at_once(database: Database) -> None:
    claim = claimed(database)
    with database.write() as s:
        job = jobs.succeed(s, claim, distill_result(0.9), [WEIGHTS, CONFIG])
    assert (job.state, job.error, job.lease_until, job.phase) == (State.SUCCEEDED, None, None, None)
    assert job.finished_at is not None
    assert (job.student_accuracy, job.teacher_accuracy, job.baseline_accuracy) == (0.9, 0.95, 0.8)
    assert job.gain == pytest.approx(0.1)
    with database.read() as s:
        made = artifacts.of_job(s, TENANT, claim.job_id)
        assert [one.name for one in made] == ["config.json", "student.safetensors"]
        assert artifacts.of_job(s, "other", claim.job_id) == []
        student = s.get_one(Model, job.student_model)
        assert (student.state, student.source_job) == ("ready", claim.job_id)
        assert student.blob == WEIGHTS.sha256 and student.parameters == 5
        attempt = s.get_one(Attempt, (claim.job_id, 1))
        assert (attempt.outcome, attempt.ended_at) == ("succeeded", job.finished_at)


def test_a_success_that_breaks_leaves_nothing(database: Database) -> None:
    claim = claimed(database)
    with pytest.raises(StopIteration), database.write() as s:
        jobs.succeed(s, claim, distill_result(), [CONFIG])  # no weights: our own mistake
    with database.read() as s:
        assert s.get_one(Job, claim.job_id).state is State.RUNNING
        assert s.scalars(select(Artifact)).all() == []
        assert s.scalars(select(Model)).all() == []


def test_a_failure_without_retry_ends_the_job_with_its_reason(database: Database) -> None:
    claim = claimed(database)
    with database.write() as s:
        job = jobs.fail(s, claim, SpecCode.TAP_NOT_FOUND, "no such module", "/stages/0")
    assert job.state is State.FAILED
    assert job.error == {
        "code": "tap_not_found",
        "message": "no such module",
        "pointer": "/stages/0",
    }


def test_deaths_back_off_and_the_last_is_poison(database: Database) -> None:
    limit = plain_spec().limits.attempts
    claim: jobs.Claim | None = claimed(database)
    for death in range(1, limit + 1):
        assert claim is not None and claim.attempt == death
        with database.write() as s:
            before = db_now(s)
            job = jobs.fail(s, claim, JobCode.KILLED, "signal 9", retry=True)
            if death < limit:
                assert job.state is State.QUEUED and job.worker is None and job.error is None
                assert job.not_before >= before + backoff_s(death) * 1000
                s.execute(update(Job).values(not_before=0))
                claim = jobs.claim(s, job.id, "w", LEASE_S)
    assert job.state is State.FAILED and job.failures == limit
    assert job.error is not None and job.error["code"] == "poison"
    assert "signal 9" in job.error["message"]


def test_the_backoff_grows_to_a_bound() -> None:
    assert [backoff_s(n) for n in (1, 2, 3, 4, 20)] == [1, 5, 25, 125, 300]


def test_a_release_is_not_a_failure(database: Database) -> None:
    claim = claimed(database)
    with database.write() as s:
        job = jobs.release(s, claim, State.QUEUED, "the worker is stopping")
        assert (job.state, job.failures, job.not_before) == (State.QUEUED, 0, 0)
        assert jobs.claimable(s, 5) == [claim.job_id]


@pytest.mark.parametrize(
    ("request_", "target", "end"),
    [
        ("cancel", State.QUEUED, "cancelled"),
        ("cancel", State.PAUSED, "cancelled"),
        ("pause", State.QUEUED, "paused"),
        ("pause", State.PAUSED, "paused"),
        (None, State.PAUSED, "queued"),  # resumed before the pause was carried out
        (None, State.CANCELLED, "cancelled"),
    ],
)
def test_a_release_honours_what_was_asked_meanwhile(
    database: Database, request_: str | None, target: Any, end: str
) -> None:
    claim = claimed(database)
    with database.write() as s:
        s.execute(update(Job).values(request=request_))
        job = jobs.release(s, claim, target, "letting go")
    assert (job.state.value, job.request) == (end, None)


@pytest.mark.parametrize(("request_", "end"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_death_honours_what_was_asked_meanwhile(
    database: Database, request_: str, end: str
) -> None:
    claim = claimed(database)
    with database.write() as s:
        s.execute(update(Job).values(request=request_))
        assert jobs.fail(s, claim, JobCode.KILLED, "x", retry=True).state.value == end
