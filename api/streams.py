"""Streams a job's events as server-sent events: resumable, bounded, until the job ends."""

import json
import time
from collections.abc import AsyncIterator

from fastapi import Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from distillery.api.deps import Services
from distillery.api.problems import Refusal
from distillery.store.errors import Unavailable
from distillery.wire.request_codes import RequestCode
from distillery.wire.states import TERMINAL

RETRY_S = 5


def stream_events(deps: Services, job_id: str, after: int) -> Response:
    """Stream events above `after` as they are stored. Raises Refusal 429 at too many streams."""
    if not deps.streams.acquire(blocking=False):
        headers = {"Retry-After": str(RETRY_S)}
        raise Refusal(
            RequestCode.TOO_MANY_STREAMS, "too many event streams are open", headers=headers
        )
    return _Stream(deps, job_id, after)


class _Stream(EventSourceResponse):
    """A response that occupies one of the stream slots until it ends."""

    def __init__(self, deps: Services, job_id: str, after: int):
        super().__init__(_follow(deps, job_id, after), ping=deps.settings.stream_ping_s)
        self._slots = deps.streams

    async def __call__(self, *scope_receive_send: object) -> None:
        """Stream, and release the slot in any case."""
        try:
            await super().__call__(*scope_receive_send)  # type: ignore[arg-type]
        finally:
            self._slots.release()


async def _follow(deps: Services, job_id: str, after: int) -> AsyncIterator[ServerSentEvent]:
    """Yield the stored events, then new ones, until the job has ended."""
    job_feed = deps.job_feed
    until_s = time.monotonic() + deps.settings.stream_limit_s
    try:
        with job_feed.watching(job_id):
            snapshot = await job_feed.first(job_id)
            while True:
                while after < snapshot.last_event:
                    lines = await job_feed.lines(job_id, after, snapshot.last_event)
                    for line in lines:
                        yield ServerSentEvent(line.data, id=str(line.id), event=line.kind)
                    after = lines[-1].id if lines else snapshot.last_event
                if snapshot.state is None or snapshot.state in TERMINAL:
                    yield ServerSentEvent(json.dumps({"state": snapshot.state}), event="end")
                    return
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    return
                snapshot = await job_feed.change(job_id, snapshot, left_s)
    except Unavailable:
        return  # the client reconnects with its Last-Event-ID
