"""One look at the database for all who follow jobs, however many they are."""

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
    """What a look at a job saw, in one row: a terminal state comes after every event."""

    state: State | None  # None: there is no such job
    last_event: int


@dataclass(frozen=True)
class Line:
    """One event, ready to be sent to everybody."""

    id: int
    kind: str
    data: str


class JobFeed:
    """Looks every `poll_s` at the jobs that somebody watches, in one query, and wakes those whose
    job has changed. Events that several need are read and written out once.

    Belongs to one event loop. All methods raise Unavailable where the database does not answer.
    """

    def __init__(self, database: Database, poll_s: float):
        self._database = database
        self._poll_s = poll_s
        self._watched: Counter[str] = Counter()
        self._woken: dict[str, set[asyncio.Future[JobSnapshot]]] = {}
        self._snapshots: dict[str, JobSnapshot] = {}
        self._reads: dict[tuple[str, int, int], asyncio.Task[Sequence[Line]]] = {}
        self._looking: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def watching(self, job_id: str) -> Iterator[None]:
        """The job is looked at as long as the block lasts."""
        self._watched[job_id] += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on(), name="lookout")
            self._looking.add_done_callback(self._stopped)
        try:
            yield
        finally:
            self._watched[job_id] -= 1
            if not self._watched[job_id]:
                del self._watched[job_id]
                self._snapshots.pop(job_id, None)
            if not self._watched:
                if self._looking is not None:
                    self._looking.cancel()
                self._looking = None
                self._reads.clear()

    async def first(self, job_id: str) -> JobSnapshot:
        """How the job stands now."""
        seen = await run_in_threadpool(self._look, [job_id])
        return seen[job_id]

    async def change(self, job_id: str, known: JobSnapshot, within_s: float) -> JobSnapshot:
        """How the job stands once that is no longer as `known`, or after `within_s`."""
        newest = self._snapshots.get(job_id, known)
        if newest != known and newest.last_event >= known.last_event:
            return newest
        woken = asyncio.get_running_loop().create_future()
        waiting = self._woken.setdefault(job_id, set())
        waiting.add(woken)
        try:
            return await asyncio.wait_for(woken, max(0.0, within_s))
        except TimeoutError:
            return known
        finally:
            waiting.discard(woken)
            if not waiting and self._woken.get(job_id) is waiting:
                del self._woken[job_id]

    async def lines(self, job_id: str, after: int, last: int) -> Sequence[Line]:
        """Events above `after`, the first of those up to `last`; none where they are gone."""
        key = (job_id, after, last)
        if key not in self._reads:
            task = asyncio.create_task(run_in_threadpool(self._read, job_id, after))
            task.add_done_callback(_note)
            self._reads[key] = task
        # One of many who wait may leave.
        return await asyncio.shield(self._reads[key])

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            self._reads.clear()
            try:
                seen = await run_in_threadpool(self._look, list(self._watched))
            except Unavailable as error:
                self._disappoint(error)
                continue
            for job_id, snapshot in seen.items():
                if job_id in self._watched and self._snapshots.get(job_id) != snapshot:
                    self._snapshots[job_id] = snapshot
                    for woken in self._woken.pop(job_id, ()):
                        if not woken.done():
                            woken.set_result(snapshot)

    def _stopped(self, looking: asyncio.Task[None]) -> None:
        """A bug must not leave people waiting for a look that never comes."""
        if not looking.cancelled() and (bug := looking.exception()) is not None:
            self._looking = None
            self._disappoint(bug)

    def _disappoint(self, error: BaseException) -> None:
        for job_id in list(self._woken):
            for woken in self._woken.pop(job_id):
                if not woken.done():
                    woken.set_exception(error)

    def _look(self, job_ids: list[str]) -> dict[str, JobSnapshot]:
        query = select(Job.id, Job.state, Job.last_event).where(Job.id.in_(job_ids))
        with self._database.read() as session:
            seen = {
                row.id: JobSnapshot(row.state, row.last_event) for row in session.execute(query)
            }
        return dict.fromkeys(job_ids, JobSnapshot(None, 0)) | seen

    def _read(self, job_id: str, after: int) -> Sequence[Line]:
        with self._database.read() as session:
            rows = events.page(session, job_id, after, BATCH)
        return [Line(row.id, row.kind, event_view(row).model_dump_json()) for row in rows]


def _note(task: asyncio.Task[Sequence[Line]]) -> None:
    """Whoever waits sees the exception; where all have left, nobody needs to."""
    if not task.cancelled():
        task.exception()
