"""Whatever is done to a job in whatever order, it only ever makes legal moves."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from distillery.store import jobs
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Attempt, Job, Transition
from distillery.store.errors import StoreError
from distillery.store.jobs.move import move
from distillery.wire.job_codes import JobCode
from distillery.wire.states import ACTIVE, MOVES, TERMINAL, State, is_legal
from kdcore.spec.codes import RunCode
from tests.store.makers import TENANT, WEIGHTS, add_job, distill_result

Deed = Callable[[Session, str], object]
End = Callable[[Session, jobs.Claim], object]

ASKS: dict[str, Deed] = {
    "cancel": lambda s, job_id: jobs.request_cancel(s, TENANT, job_id),
    "pause": lambda s, job_id: jobs.request_pause(s, TENANT, job_id),
    "resume": lambda s, job_id: jobs.resume(s, TENANT, job_id),
    "retry": lambda s, job_id: jobs.retry(s, TENANT, job_id),
    "reaper": lambda s, _: jobs.reap(s),
}
CLAIMS: dict[str, float] = {"claim": 60, "claim and lapse": -1}
ENDS: dict[str, End] = {
    "renew_lease": lambda s, claim: jobs.renew_lease(s, claim, 60),
    "succeed": lambda s, claim: jobs.succeed(s, claim, distill_result(), [WEIGHTS]),
    "fail": lambda s, claim: jobs.fail(s, claim, RunCode.DIVERGED, "x"),
    "die": lambda s, claim: jobs.fail(s, claim, JobCode.KILLED, "x", retry=True),
    "let go": lambda s, claim: jobs.release(s, claim, State.QUEUED, "x"),
    "paused": lambda s, claim: jobs.release(s, claim, State.PAUSED, "x"),
    "cancelled": lambda s, claim: jobs.release(s, claim, State.CANCELLED, "x"),
}
DEEDS = st.sampled_from([*ASKS, *CLAIMS, *ENDS])


@pytest.fixture(scope="module")
def shared(sqlite_template: Path) -> Iterator[Database]:
    """One SQLite database for all of Hypothesis' examples; each has a job of its own."""
    path = sqlite_template.with_name("moves.sqlite")
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}")
    yield database
    database.dispose()


def test_terminal_states_have_no_way_out_but_retry() -> None:
    assert {state for state in TERMINAL if MOVES[state]} == {State.FAILED}
    assert set(MOVES) == {None, *State}
    assert set(State) == ACTIVE | TERMINAL


@pytest.mark.parametrize("source", State)
def test_an_illegal_move_is_an_assertion(shared: Database, source: State) -> None:
    with shared.write() as s:
        job = add_job(s)
        job.state, job.lease_until = source, 1
        s.flush()
        for target in (target for target in State if not is_legal(source, target)):
            with pytest.raises(AssertionError):
                move(s, job, target, "by force", 0)
        s.rollback()


def test_a_move_from_an_outdated_row_changes_nothing(database: Database) -> None:
    with database.write() as s:
        job = add_job(s)
    with database.write() as s:
        jobs.request_cancel(s, TENANT, job.id)
    with database.write() as s:
        assert move(s, job, State.PAUSED, "too late", db_now(s)) is None


@settings(max_examples=40, deadline=None)
@given(deeds=st.lists(st.tuples(DEEDS, st.booleans()), min_size=3, max_size=14))
def test_only_legal_moves_happen(shared: Database, deeds: list[tuple[str, bool]]) -> None:
    """Deeds by users, reapers, the newest claim or the very first one, in any order."""
    with shared.write() as s:
        job_id = add_job(s).id
    claims: list[jobs.Claim] = []
    for deed, newest in deeds:
        with suppress(StoreError), shared.write() as s:
            _do(s, job_id, deed, claims, newest)
    with shared.write() as s:
        _check(s, job_id)
        s.execute(update(Job).values(lease_until=2**60))  # no later reaper shall touch it


def _do(s: Session, job_id: str, deed: str, claims: list[jobs.Claim], newest: bool) -> None:
    s.execute(update(Job).where(Job.id == job_id).values(not_before=0))
    if deed in ASKS:
        ASKS[deed](s, job_id)
    elif deed in CLAIMS:
        made = jobs.claim(s, job_id, "w", CLAIMS[deed])
        claims += [made] if made is not None else []
    elif claims:
        ENDS[deed](s, claims[-1 if newest else 0])


def _check(s: Session, job_id: str) -> None:
    job = s.get_one(Job, job_id)
    query = select(Transition).where(Transition.job_id == job_id).order_by(Transition.id)
    moves = s.scalars(query).all()
    assert moves[0].source is None and moves[-1].target == job.state
    for one in moves:
        source = None if one.source is None else State(one.source)
        assert is_legal(source, State(one.target)), (one.source, one.target)
    for before, after in pairwise(moves):
        assert before.target == after.source
        assert after.attempt - before.attempt == (after.target == State.RUNNING)
    assert (job.lease_until is not None) == (job.state is State.RUNNING)
    assert (job.finished_at is not None) == (job.state in TERMINAL)
    assert (job.error is not None) == (job.state is State.FAILED)
    attempts = s.scalars(select(Attempt).where(Attempt.job_id == job_id)).all()
    assert sorted(a.number for a in attempts) == list(range(1, job.attempt + 1))
    open_ = [a.number for a in attempts if a.ended_at is None]
    assert open_ == ([job.attempt] if job.state is State.RUNNING else [])
