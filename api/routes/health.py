"""Health (the process runs), readiness (its components work) and status of the service."""

from fastapi import APIRouter, Request, Response

from distillery.api.auth import Reader
from distillery.api.deps import Deps, Services
from distillery.api.mappers.status import status_view
from distillery.api.readiness import status_of
from distillery.api.responses import answer
from distillery.wire.keys import Health, Status
from kdcore.spec import distribution

router = APIRouter(tags=["health"])


@router.get("/health", operation_id="health")
async def health() -> Health:
    """Return that the process is running."""
    return Health(ok=True, version=distribution.version(), components={})


@router.get(
    "/ready",
    operation_id="ready",
    response_model=Health,
    responses={503: {"model": Health, "description": "Not ready; see `components`."}},
)
def ready(deps: Deps) -> Response:
    """Return whether the API can serve: 503 if the database, its schema or the blobs are broken.

    If only disk, broker, workers or reaper are broken, the response is 200 with `degraded`.
    """
    view = _health(deps)
    headers = {"Cache-Control": "no-store"} | ({} if view.ok else {"Retry-After": "5"})
    body = view.model_dump_json()
    return Response(body, 200 if view.ok else 503, headers, "application/json")


@router.get("/status", operation_id="status", response_model=Status)
def status(caller: Reader, request: Request, deps: Deps) -> Response:
    """Return components, workers, slots, the queue, and why the caller's oldest job waits."""
    with deps.database.read() as s:
        view = status_view(s, caller.tenant, _health(deps))
    return answer(request, view)


def _health(deps: Services) -> Health:
    components = deps.readiness.components()
    level = status_of(components)
    return Health(
        ok=level != "down", status=level, version=distribution.version(), components=components
    )
