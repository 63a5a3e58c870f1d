"""Health: the process lives; ready: the parts it needs answer; status: how the service stands."""

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
    """The process lives and answers."""
    return Health(ok=True, version=distribution.version(), components={})


@router.get(
    "/ready",
    operation_id="ready",
    response_model=Health,
    responses={503: {"model": Health, "description": "Not ready: `components` says why."}},
)
def ready(deps: Deps) -> Response:
    """Whether the API can serve: 503 where database, schema or blobs are broken.

    What is broken beside them (disk, broker, workers, reaper) is told with 200, as `degraded`.
    """
    view = _health(deps)
    headers = {"Cache-Control": "no-store"} | ({} if view.ok else {"Retry-After": "5"})
    body = view.model_dump_json()
    return Response(body, 200 if view.ok else 503, headers, "application/json")


@router.get("/status", operation_id="status", response_model=Status)
def status(caller: Reader, request: Request, deps: Deps) -> Response:
    """Parts, workers, slots, the queue, and why the caller's oldest job waits."""
    with deps.database.read() as s:
        view = status_view(s, caller.tenant, _health(deps))
    return answer(request, view)


def _health(deps: Services) -> Health:
    components = deps.readiness.components()
    said = status_of(components)
    return Health(
        ok=said != "down", status=said, version=distribution.version(), components=components
    )
