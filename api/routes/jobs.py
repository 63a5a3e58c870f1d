"""Jobs: submit, list, show, cancel, pause, resume, retry."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from distillery.api.auth import Caller, Reader, Writer
from distillery.api.deps import Deps, Services
from distillery.api.idempotency import Created, Creates
from distillery.api.mappers.common import page_of
from distillery.api.mappers.jobs import artifact_view, job_view, summary_view
from distillery.api.responses import After, Limit, answer
from distillery.api.strict_json import StrictRoute
from distillery.store import jobs
from distillery.store.catalog import artifacts
from distillery.store.db import tables
from distillery.wire.common import Page
from distillery.wire.jobs import Artifact, Check, Job, JobCreate, JobSummary
from distillery.wire.jobspec import JobSpec
from distillery.wire.states import TERMINAL, State

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=StrictRoute)
JobId = Annotated[str, Path(examples=["job_01k2v6r8m3q4t5w6x7y8z9a0b1"])]
Task = Literal["distill", "inspect_model", "inspect_dataset"]
POLL_S = 2
DryRun = Annotated[bool, Query(description="Check the spec and estimate its cost only.")]


@router.post(
    "",
    operation_id="submitJob",
    status_code=202,
    response_model=Job,
    responses={200: {"model": Check, "description": "The result of a dry run."}},
)
def submit_job(
    body: JobCreate, caller: Writer, creating: Creates, deps: Deps, dry_run: DryRun = False
) -> Response:
    """Submit a distillation, after checking it against the models and dataset it names."""
    if dry_run:
        return _dry_run(deps, caller, body)

    def work(s: Session) -> Created:
        row = jobs.submit(s, caller.tenant, body, body.name)
        return Created(job_view(row, None, body), f"/v1/jobs/{row.id}", notify=row.id)

    return creating.run(caller, body, work, status=202)


def _dry_run(deps: Services, caller: Caller, spec: JobSpec) -> Response:
    with deps.database.read() as s:
        cost = jobs.estimate(s, caller.tenant, spec)
    view = Check(steps=cost.steps, images=cost.images, estimated_s=cost.estimated_s, spec=spec)
    return Response(view.model_dump_json(), media_type="application/json")


@router.get("", operation_id="listJobs", response_model=Page[JobSummary])
def list_jobs(
    caller: Reader,
    request: Request,
    deps: Deps,
    limit: Limit = 50,
    after: After = None,
    state: State | None = None,
    task: Task = "distill",
    order: Annotated[
        jobs.Order,
        Query(description="Newest first, or best first; jobs without a value come last."),
    ] = "newest",
) -> Response:
    """List jobs, newest or best first."""
    with deps.database.read() as s:
        rows, cursor = jobs.page(
            s, caller.tenant, limit=limit, after=after, state=state, task=task, order=order
        )
    return answer(request, page_of([summary_view(row) for row in rows], cursor))


@router.get("/{job_id}", operation_id="showJob", response_model=Job)
def show_job(job_id: JobId, caller: Reader, request: Request, deps: Deps) -> Response:
    """Return a job with its latest metric values; `Retry-After` says when to poll again."""
    with deps.database.read() as s:
        row = jobs.get(s, caller.tenant, job_id)
        view = job_view(row, jobs.waiting_for(s, row))
    return answer(request, view, retry_after_s=None if row.state in TERMINAL else POLL_S)


@router.get("/{job_id}/artifacts", operation_id="listArtifacts", response_model=Page[Artifact])
def list_artifacts(job_id: JobId, caller: Reader, request: Request, deps: Deps) -> Response:
    """List the files of a succeeded job, by name."""
    with deps.database.read() as s:
        jobs.get(s, caller.tenant, job_id)
        rows = artifacts.of_job(s, caller.tenant, job_id)
    return answer(request, page_of([artifact_view(row) for row in rows], None))


@router.post("/{job_id}/cancel", operation_id="cancelJob", status_code=202, response_model=Job)
def cancel_job(job_id: JobId, caller: Writer, deps: Deps) -> Response:
    """Cancel a job; a running one stops at its next step."""
    return _ask(deps, caller, job_id, jobs.request_cancel)


@router.post("/{job_id}/pause", operation_id="pauseJob", status_code=202, response_model=Job)
def pause_job(job_id: JobId, caller: Writer, deps: Deps) -> Response:
    """Pause a job; a running one writes a checkpoint and releases its slot."""
    return _ask(deps, caller, job_id, jobs.request_pause)


@router.post("/{job_id}/resume", operation_id="resumeJob", status_code=202, response_model=Job)
def resume_job(job_id: JobId, caller: Writer, deps: Deps) -> Response:
    """Queue a paused job again; it continues from its checkpoint."""
    return _ask(deps, caller, job_id, jobs.resume)


@router.post("/{job_id}/retry", operation_id="retryJob", status_code=202, response_model=Job)
def retry_job(job_id: JobId, caller: Writer, deps: Deps) -> Response:
    """Queue a failed job again; it continues from its last checkpoint."""
    return _ask(deps, caller, job_id, jobs.retry)


def _ask(
    deps: Services,
    caller: Caller,
    job_id: str,
    move: Callable[[Session, str, str], tables.Job],
) -> Response:
    with deps.database.write() as s:
        row = move(s, caller.tenant, job_id)
        view = job_view(row, jobs.waiting_for(s, row))
    answer = Response(view.model_dump_json(), 202, media_type="application/json")
    if view.state is State.QUEUED:
        answer.background = BackgroundTask(deps.notify, view.id)
    return answer
