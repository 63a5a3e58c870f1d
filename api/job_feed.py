"""Follows jobs for all event streams with one database query per interval."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select

from distillery.api.mappers.jobs import event_view
from distillery.store.db.database import Database
from distillery.store.db.tables import Job
from distillery.store.errors import Unavailable
from distillery.store.jobs import events
from distillery.wire.states import State

BATCH = 200


@dataclass(frozen=True)
class JobSnapshot:
    """A job's row at one moment: once the state is terminal, `last_event` is final."""

    state: State | None  # None if the job does not exist
    last_event: int


@dataclass(frozen=True)
class Line:
    """One event, serialized once for all streams."""

    id: int
    kind: str
    data: str


class JobFeed:
    """Queries all watched jobs every `poll_s` and wakes the streams of those that changed.

    Events that several streams need are read and serialized once. Belongs to one event loop. All
    methods raise Unavailable if the database does not answer.
    """

    def __init__(self, database: Database, poll_s: float):
        self._database = database
        self._poll_s = poll_s
        self._watched: Counter[str] = Counter()
        self._waiters: dict[str, set[asyncio.Future[JobSnapshot]]] = {}
        self._snapshots: dict[str, JobSnapshot] = {}
        self._reads: dict[tuple[str, int, int], asyncio.Task[Sequence[Line]]] = {}
        self._poller: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self, job_id: str) -> Iterator[None]:
        """Watch a job for the duration of the block."""
        self._watched[job_id] += 1
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll(), name="job-feed")
            self._poller.add_done_callback(self._on_poller_done)
        try:
            yield
        finally:
            self._watched[job_id] -= 1
            if not self._watched[job_id]:
                del self._watched[job_id]
                self._snapshots.pop(job_id, None)
            if not self._watched:
                if self._poller is not None:
                    self._poller.cancel()
                self._poller = None
                self._reads.clear()

    async def first(self, job_id: str) -> JobSnapshot:
        """Return the job's present snapshot."""
        snapshots = await run_in_threadpool(self._query, [job_id])
        return snapshots[job_id]

    async def change(self, job_id: str, known: JobSnapshot, within_s: float) -> JobSnapshot:
        """Return the job's snapshot once it differs from `known`, or `known` after `within_s`."""
        newest = self._snapshots.get(job_id, known)
        if newest != known and newest.last_event >= known.last_event:
            return newest
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(job_id, set())
        waiters.add(waiter)
        try:
            return await asyncio.wait_for(waiter, max(0.0, within_s))
        except TimeoutError:
            return known
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiters.get(job_id) is waiters:
                del self._waiters[job_id]

    async def lines(self, job_id: str, after: int, last: int) -> Sequence[Line]:
        """Return the next events above `after`, of those up to `last`; none if they were
        deleted."""
        key = (job_id, after, last)
        if key not in self._reads:
            task = asyncio.create_task(run_in_threadpool(self._read, job_id, after))
            task.add_done_callback(_retrieve_exception)
            self._reads[key] = task
        # Shielded: one of several waiting streams may be cancelled.
        return await asyncio.shield(self._reads[key])

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            self._reads.clear()
            try:
                snapshots = await run_in_threadpool(self._query, list(self._watched))
            except Unavailable as error:
                self._fail_waiters(error)
                continue
            for job_id, snapshot in snapshots.items():
                if job_id in self._watched and self._snapshots.get(job_id) != snapshot:
                    self._snapshots[job_id] = snapshot
                    for waiter in self._waiters.pop(job_id, ()):
                        if not waiter.done():
                            waiter.set_result(snapshot)

    def _on_poller_done(self, poller: asyncio.Task[None]) -> None:
        """Fail the waiting streams if a bug ended the poller: nothing would wake them."""
        if not poller.cancelled() and (bug := poller.exception()) is not None:
            self._poller = None
            self._fail_waiters(bug)

    def _fail_waiters(self, error: BaseException) -> None:
        for job_id in list(self._waiters):
            for waiter in self._waiters.pop(job_id):
                if not waiter.done():
                    waiter.set_exception(error)

    def _query(self, job_ids: list[str]) -> dict[str, JobSnapshot]:
        query = select(Job.id, Job.state, Job.last_event).where(Job.id.in_(job_ids))
        with self._database.read() as session:
            rows = session.execute(query).all()
        snapshots = {row.id: JobSnapshot(row.state, row.last_event) for row in rows}
        return dict.fromkeys(job_ids, JobSnapshot(None, 0)) | snapshots

    def _read(self, job_id: str, after: int) -> Sequence[Line]:
        with self._database.read() as session:
            rows = events.page(session, job_id, after, BATCH)
        return [Line(row.id, row.kind, event_view(row).model_dump_json()) for row in rows]


def _retrieve_exception(task: asyncio.Task[Sequence[Line]]) -> None:
    """Keep asyncio from logging the exception of a task whose streams have all left."""
    if not task.cancelled():
        task.exception()
