"""The job feed: one query for all streams, events read once, an outage ends every stream."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from distillery.api.job_feed import JobFeed, JobSnapshot
from distillery.store import jobs
from distillery.store.db.database import Database
from distillery.store.errors import Unavailable
from distillery.store.jobs import events
from distillery.wire.states import State
from kdcore.spec.codes import RunCode
from kdcore.spec.events import LogEvent
from tests.store.makers import TENANT, claimed

STREAMS = 50
LONG_S = 30.0


def append_logs(database: Database, claim: jobs.Claim, *numbers: int) -> None:
    """Append log events with these seqs."""
    batch = [LogEvent(seq=n, at=1.0, level="info", message=f"line {n}") for n in numbers]
    with database.write() as s:
        events.append(s, claim, batch)


@contextmanager
def counted(database: Database, word: str) -> Iterator[list[str]]:
    """The statements with a word in them that go to the database."""
    found: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if word in statement:
            found.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield found
    event.remove(database.engine, "before_cursor_execute", note)


async def see_change(job_feed: JobFeed, job_id: str) -> tuple[JobSnapshot, list[int]]:
    """Follow a job until it has more than no events; what was seen, and the events' ids."""
    with job_feed.watching(job_id):
        known = await job_feed.first(job_id)
        while not known.last_event:
            known = await job_feed.change(job_id, known, LONG_S)
        lines = await job_feed.lines(job_id, 0, known.last_event)
        return known, [line.id for line in lines]


def test_many_streams_cost_as_much_as_one(database: Database) -> None:
    claims = [claimed(database) for _ in range(3)]

    async def follow_all() -> list[tuple[JobSnapshot, list[int]]]:
        job_feed = JobFeed(database, 0.05)
        following = [
            asyncio.create_task(see_change(job_feed, claims[n % 3].job_id)) for n in range(STREAMS)
        ]
        await asyncio.sleep(0.2)
        for claim in claims:
            await asyncio.to_thread(append_logs, database, claim, 1, 2)
        return await asyncio.gather(*following)

    with counted(database, "FROM events") as reads:
        seen = asyncio.run(follow_all())
    assert {(snapshot.state, *ids) for snapshot, ids in seen} == {(State.RUNNING, 1, 2)}
    assert len(reads) <= 6  # one of each job, or two where the look fell between two looks


def test_looks_at_all_jobs_at_once_and_stops_with_the_last_watcher(database: Database) -> None:
    ids = [claimed(database).job_id for _ in range(4)]

    async def stay(job_feed: JobFeed, job_id: str, over: asyncio.Event) -> None:
        with job_feed.watching(job_id):
            await over.wait()

    async def watch() -> tuple[list[str], int]:
        job_feed, over = JobFeed(database, 0.02), asyncio.Event()
        with counted(database, "FROM jobs") as looks:
            people = [asyncio.create_task(stay(job_feed, job_id, over)) for job_id in ids * 5]
            while len(looks) < 3:
                await asyncio.sleep(0.01)
            over.set()
            await asyncio.gather(*people)
            during = list(looks)
            await asyncio.sleep(0.1)
            return during, len(looks)

    during, after = asyncio.run(watch())
    assert {statement.count(mark) for statement in during for mark in ("?", "%(id")} == {0, 4}, (
        "one look asks for all"
    )
    assert after <= len(during) + 1  # one that was under way


def test_a_change_of_state_is_seen_and_a_missing_job_has_none(database: Database) -> None:
    claim = claimed(database)

    async def watch() -> tuple[JobSnapshot, JobSnapshot]:
        job_feed = JobFeed(database, 0.02)
        missing = await job_feed.first("job_none")
        with job_feed.watching(claim.job_id):
            known = await job_feed.first(claim.job_id)
            await asyncio.to_thread(fail)
            while known.state is State.RUNNING:
                known = await job_feed.change(claim.job_id, known, LONG_S)
            return missing, known

    def fail() -> None:
        with database.write() as s:
            jobs.fail(s, claim, RunCode.DIVERGED, "no")

    missing, known = asyncio.run(watch())
    assert missing == JobSnapshot(None, 0)
    assert known.state is State.FAILED
    with database.read() as s:
        assert jobs.get(s, TENANT, claim.job_id).state is State.FAILED


@pytest.mark.parametrize("error", [Unavailable("down"), ZeroDivisionError("a bug")])
def test_an_outage_or_a_bug_leaves_no_stream_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    claim = claimed(database)

    def broken(*_: object) -> None:
        raise error

    async def watch() -> None:
        job_feed = JobFeed(database, 0.05)
        with job_feed.watching(claim.job_id):
            known = await job_feed.first(claim.job_id)
            while True:
                known = await job_feed.change(claim.job_id, known, LONG_S)
                monkeypatch.setattr(job_feed, "_query", broken)

    with pytest.raises(type(error)):
        asyncio.run(watch())


def test_a_long_wait_ends(database: Database) -> None:
    claim = claimed(database)

    async def watch() -> tuple[JobSnapshot, JobSnapshot]:
        job_feed = JobFeed(database, LONG_S)
        with job_feed.watching(claim.job_id):
            known = await job_feed.first(claim.job_id)
            return known, await job_feed.change(claim.job_id, known, 0.01)

    known, seen = asyncio.run(watch())
    assert seen == known
