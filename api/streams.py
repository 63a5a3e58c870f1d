"""A job's events as server-sent events: polled, resumable, bounded, ended with the job."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from sse_starlette import EventSourceResponse, ServerSentEvent

from api.deps import Services
from api.problems import Refusal
from api.rows.jobs import event_view
from store import events
from store.errors import Unavailable
from store.states import TERMINAL, State
from store.tables import Event, Job

BATCH = 200
RETRY_S = 5


def stream_events(deps: Services, job_id: str, after: int) -> Response:
    """Events above `after` as they come; Refusal 429 while too many streams are open."""
    if not deps.streams.acquire(blocking=False):
        headers = {"Retry-After": str(RETRY_S)}
        raise Refusal(429, "too_many_streams", "too many event streams are open", headers=headers)
    return _Stream(deps, job_id, after)


class _Stream(EventSourceResponse):
    """The response that holds one of the slots for streams as long as it lives."""

    def __init__(self, deps: Services, job_id: str, after: int):
        super().__init__(_follow(deps, job_id, after), ping=deps.settings.stream_ping_s)
        self._slots = deps.streams

    async def __call__(self, *scope_receive_send: object) -> None:
        """Stream, and give the slot back whatever happens."""
        try:
            await super().__call__(*scope_receive_send)  # type: ignore[arg-type]
        finally:
            self._slots.release()


async def _follow(deps: Services, job_id: str, after: int) -> AsyncIterator[ServerSentEvent]:
    """Everything that is there, then a look every `stream_poll_s`, until the job has ended."""
    settings = deps.settings
    until = time.monotonic() + settings.stream_limit_s
    while time.monotonic() < until:
        try:
            state, rows = await run_in_threadpool(_look, deps, job_id, after)
        except Unavailable:
            return  # the client comes back with its Last-Event-ID
        for row in rows:
            after = row.id
            yield ServerSentEvent(event_view(row).model_dump_json(), id=str(row.id), event=row.kind)
        if len(rows) == BATCH:
            continue
        if state is None or state in TERMINAL:
            yield ServerSentEvent(json.dumps({"state": state}), event="end")
            return
        await asyncio.sleep(settings.stream_poll_s)


def _look(deps: Services, job_id: str, after: int) -> tuple[State | None, list[Event]]:
    """The state first: a terminal one is then known to come after every event."""
    with deps.database.read() as s:
        job = s.get(Job, job_id)
        state = None if job is None else job.state
        return state, events.page(s, job_id, after, BATCH)
