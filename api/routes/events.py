"""A job's history: events as pages or as a stream, transitions, and metric curves."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from distillery.api.auth import Reader
from distillery.api.deps import Deps
from distillery.api.mappers.common import page_of
from distillery.api.mappers.jobs import event_view, transition_view
from distillery.api.problems import Refusal
from distillery.api.responses import MAX_LIMIT, answer
from distillery.api.routes.jobs import JobId
from distillery.api.streams import stream_events
from distillery.store import jobs
from distillery.store.jobs import curves, events
from distillery.wire.common import Page
from distillery.wire.jobs import Event, Metrics, Series, Transition
from distillery.wire.request_codes import RequestCode

router = APIRouter(prefix="/jobs", tags=["events"])
MAX_ID = 2**53 - 1


@router.get(
    "/{job_id}/events",
    operation_id="listEvents",
    response_model=Page[Event],
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
def list_events(
    job_id: JobId,
    caller: Reader,
    request: Request,
    deps: Deps,
    after: Annotated[int, Query(ge=0, le=MAX_ID, description="The last id already received.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = MAX_LIMIT,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """List the events after an id; with `Accept: text/event-stream`, stream them live.

    A stream resumes after `Last-Event-ID` and ends with `event: end` once the job has ended.
    """
    with deps.database.read() as s:
        job = jobs.get(s, caller.tenant, job_id)
        if "text/event-stream" not in request.headers.get("accept", ""):
            rows = events.page(s, job.id, after, limit + 1)
    if "text/event-stream" in request.headers.get("accept", ""):
        return stream_events(deps, job_id, _resume_point(last_event_id, after))
    cursor = str(rows[limit - 1].id) if len(rows) > limit else None
    return answer(request, page_of([event_view(row) for row in rows[:limit]], cursor))


def _resume_point(last_event_id: str | None, after: int) -> int:
    if not last_event_id:
        return after
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 15):
        raise Refusal(RequestCode.BAD_PARAMETER, "Last-Event-ID must be the id of an event")
    return int(last_event_id)


@router.get(
    "/{job_id}/transitions", operation_id="listTransitions", response_model=Page[Transition]
)
def list_transitions(job_id: JobId, caller: Reader, request: Request, deps: Deps) -> Response:
    """List every change of the job's state, oldest first."""
    with deps.database.read() as s:
        job = jobs.get(s, caller.tenant, job_id)
        rows = events.transitions(s, job.id)
    return answer(request, page_of([transition_view(row) for row in rows], None))


@router.get("/{job_id}/metrics", operation_id="showMetrics", response_model=Metrics)
def show_metrics(
    job_id: JobId,
    caller: Reader,
    request: Request,
    deps: Deps,
    keys: Annotated[
        str | None, Query(max_length=2000, description="Comma-separated names. Default: all.")
    ] = None,
    after_step: Annotated[int | None, Query(ge=-1, le=MAX_ID)] = None,
    max_points: Annotated[int, Query(ge=2, le=5000, description="Per series.")] = 500,
) -> Response:
    """Return curves after a step; `downsampled` marks those with points left out in between."""
    names = None if keys is None else [name for name in keys.split(",") if name]
    with deps.database.read() as s:
        job = jobs.get(s, caller.tenant, job_id)
        found = curves.curves(s, job.id, names, after_step, max_points)
    series = [Series(**vars(one)) for one in found]
    return answer(request, Metrics(series=series))
