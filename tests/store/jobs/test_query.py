"""Lists: pages meet without gaps or repeats in every order."""

from itertools import islice

import pytest
from sqlalchemy.exc import InvalidRequestError

from distillery.store import jobs
from distillery.store.db.database import Database
from distillery.store.db.tables import Job
from distillery.store.errors import Invalid
from distillery.store.jobs.query import Order
from distillery.wire.states import State
from tests.store.makers import TENANT, add_job

GAINS = (0.1, None, 0.3, 0.1, None, 0.2, 0.1)


def all_pages(database: Database, size: int, order: Order, state: State | None = None) -> list[Job]:
    rows: list[Job] = []
    after = None
    for _ in islice(iter(int, 1), 20):
        with database.read() as s:
            page, after = jobs.page(s, TENANT, limit=size, after=after, order=order, state=state)
        rows += page
        if after is None:
            return rows
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pages_meet_in_every_order(database: Database, size: int) -> None:
    with database.write() as s:
        made = [add_job(s) for _ in GAINS]
        for job, gain in zip(made, GAINS, strict=True):
            job.gain = gain
            job.state = State.CANCELLED if gain is None else State.SUCCEEDED
        add_job(s, tenant="other")
    newest = all_pages(database, size, "newest")
    assert [job.id for job in newest] == sorted((job.id for job in made), reverse=True)
    best = all_pages(database, size, "gain")
    assert [job.gain for job in best] == [0.3, 0.2, 0.1, 0.1, 0.1, None, None]
    assert len({job.id for job in best}) == len(made)
    assert [j.id for j in all_pages(database, size, "student_accuracy")] == [j.id for j in newest]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_best_of_one_state(database: Database, size: int) -> None:
    states = [State.FAILED, State.SUCCEEDED, State.QUEUED, State.SUCCEEDED, State.SUCCEEDED]
    with database.write() as s:
        made = [add_job(s) for _ in states]
        for job, state in zip(made, states, strict=True):
            job.state = state
        made[1].gain, made[3].gain = 0.1, 0.2
    ids = [job.id for job in made]
    best = [job.id for job in all_pages(database, size, "gain")]
    assert best == [ids[3], ids[1], ids[4], ids[2], ids[0]]
    done = [job.id for job in all_pages(database, size, "gain", State.SUCCEEDED)]
    assert done == [ids[3], ids[1], ids[4]]
    assert [j.id for j in all_pages(database, size, "gain", State.FAILED)] == [ids[0]]
    assert all_pages(database, size, "gain", State.PAUSED) == []


def test_lists_filter_and_leave_results_out(database: Database) -> None:
    with database.write() as s:
        first, second = add_job(s), add_job(s)
        jobs.request_cancel(s, TENANT, first.id)
        second.task = "inspect_model"
    with database.read() as s:
        (found,), after = jobs.page(s, TENANT)
        assert found.id == first.id and after is None
        assert jobs.page(s, TENANT, state=State.QUEUED) == ([], None)
        assert [j.id for j in jobs.page(s, TENANT, task="inspect_model")[0]] == [second.id]
        s.expunge_all()
        (found,), _ = jobs.page(s, TENANT, state=State.CANCELLED)
        with pytest.raises(InvalidRequestError, match="raiseload"):
            _ = found.result
        s.expunge_all()
        (found,), _ = jobs.page(s, TENANT, order="gain")
        with pytest.raises(InvalidRequestError, match="raiseload"):
            _ = found.result


@pytest.mark.parametrize("cursor", ["", "x", "!!", "bnVsbA", "WzFd", "WyJhIiwgImIiXQ", "é"])
def test_a_made_up_cursor_is_refused(database: Database, cursor: str) -> None:
    for order in ("newest", "gain"):
        with database.read() as s, pytest.raises(Invalid) as caught:
            jobs.page(s, TENANT, after=cursor, order=order)
        assert caught.value.code == "bad_cursor"
