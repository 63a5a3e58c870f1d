"""Claims: one winner, and an attempt that is no longer the newest writes nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from distillery.store import jobs
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Artifact, Attempt, Event, Job, MetricPoint, Model, Transition
from distillery.store.errors import LeaseLost
from distillery.store.jobs import events
from distillery.wire.states import State
from kdcore.spec.codes import RunCode
from tests.store.makers import (
    LEASE_S,
    TENANT,
    WEIGHTS,
    add_job,
    claimed,
    distill_result,
    metrics_event,
    new_job,
    plain_spec,
    state_of,
)

RACERS = 8


def test_a_race_for_a_job_has_one_winner(database: Database) -> None:
    job_id = new_job(database)
    start = Barrier(RACERS)

    def race(number: int) -> jobs.Claim | None:
        start.wait()
        with database.write() as s:
            return jobs.claim(s, job_id, f"w{number}", LEASE_S)

    with ThreadPoolExecutor(RACERS) as pool:
        won = [claim for claim in pool.map(race, range(RACERS)) if claim is not None]
    assert [claim.attempt for claim in won] == [1]
    with database.read() as s:
        assert len(s.scalars(select(Attempt)).all()) == 1
        moves = s.scalars(select(Transition.target).order_by(Transition.id)).all()
    assert moves == ["queued", "running"]


def test_a_claim_has_what_its_attempt_needs(database: Database) -> None:
    claim = claimed(database)
    assert (claim.tenant, claim.task, claim.attempt, claim.subject) == (
        TENANT,
        "distill",
        1,
        None,
    )
    assert claim.spec == plain_spec() and claim.limits == plain_spec().limits
    with database.read() as s:
        job = s.get_one(Job, claim.job_id)
        assert job.worker == "w1" and job.phase == "preparing"
        assert job.started_at is not None and job.lease_until is not None
        assert 0 < job.lease_until - db_now(s) <= LEASE_S * 1000


def test_a_job_in_backoff_is_not_claimed(database: Database) -> None:
    job_id = new_job(database)
    with database.write() as s:
        s.execute(update(Job).values(not_before=db_now(s) + 60_000))
        assert jobs.claim(s, job_id, "w1", LEASE_S) is None
        assert jobs.claimable(s, 10) == []


def test_inspections_come_first_then_the_oldest(database: Database) -> None:
    with database.write() as s:
        first, second, inspection = add_job(s), add_job(s), add_job(s)
        inspection.task = "inspect_dataset"
        first.queued_at, second.queued_at = 2, 1
        s.flush()
        assert jobs.claimable(s, 10) == [inspection.id, second.id, first.id]
        assert jobs.claimable(s, 1) == [inspection.id]


def test_a_renewal_extends_the_lease_and_returns_the_request(database: Database) -> None:
    claim = claimed(database, lease_s=1)
    with database.write() as s:
        assert jobs.renew_lease(s, claim, 500) is None
        assert (s.get_one(Job, claim.job_id).lease_until or 0) > db_now(s) + 400_000
        jobs.request_cancel(s, TENANT, claim.job_id)
        assert jobs.renew_lease(s, claim, LEASE_S) == "cancel"


def _append(s: Session, claim: jobs.Claim) -> object:
    return events.append(s, claim, [metrics_event(1, 5, loss=1.0)])


FENCED: dict[str, Callable[[Session, jobs.Claim], object]] = {
    "renew_lease": lambda s, claim: jobs.renew_lease(s, claim, LEASE_S),
    "append": _append,
    "succeed": lambda s, claim: jobs.succeed(s, claim, distill_result(), [WEIGHTS]),
    "fail": lambda s, claim: jobs.fail(s, claim, RunCode.BUG, "it broke"),
    "fail and retry": lambda s, claim: jobs.fail(s, claim, RunCode.BUG, "it broke", retry=True),
    "release": lambda s, claim: jobs.release(s, claim, State.QUEUED, "stopping"),
    "release cancelled": lambda s, claim: jobs.release(s, claim, State.CANCELLED, "x"),
}


@pytest.mark.parametrize("write", FENCED)
@pytest.mark.parametrize("since", ["lapsed", "claimed again", "ended"])
def test_every_write_of_a_lost_attempt_is_refused(
    database: Database, write: str, since: str
) -> None:
    """F3: a worker that slept past its lease changes nothing when it wakes."""
    zombie = claimed(database, lease_s=-1)
    with database.write() as s:
        assert jobs.reap(s).lapsed == [zombie.job_id]
        s.execute(update(Job).values(not_before=0))
    if since != "lapsed":
        with database.write() as s:
            heir = jobs.claim(s, zombie.job_id, "w2", LEASE_S)
        assert heir is not None and heir.attempt == 2
        if since == "ended":
            with database.write() as s:
                jobs.fail(s, heir, RunCode.DIVERGED, "loss is not finite")
    before = _everything(database)
    with pytest.raises(LeaseLost), database.write() as s:
        FENCED[write](s, zombie)
    assert _everything(database) == before


def _everything(database: Database) -> list[object]:
    with database.read() as s:
        rows = s.execute(select(Job.state, Job.attempt, Job.version, Job.lease_until)).all()
        counts = [
            len(s.scalars(select(table)).all())
            for table in (Transition, Attempt, Event, MetricPoint, Artifact, Model)
        ]
    return [*(tuple(row) for row in rows), *counts]


def test_the_holder_may_do_all_of_it(database: Database) -> None:
    for write in FENCED.values():
        claim = claimed(database)
        with database.write() as s:
            write(s, claim)
    assert state_of(database, claim.job_id) == "cancelled"
