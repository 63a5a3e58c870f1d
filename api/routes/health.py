"""Health: the process lives; ready: the parts it needs answer."""

from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, Request, Response

from api.deps import Deps, Services
from api.views.keys import Health
from store.errors import StoreError
from store.schema import SchemaMismatch

router = APIRouter(tags=["health"])


def program_version() -> str:
    """The installed version."""
    try:
        return version("distillery")
    except PackageNotFoundError:
        return "0+source"


@router.get("/health", operation_id="health")
async def health() -> Health:
    """The process lives and answers."""
    return Health(ok=True, version=program_version(), parts={})


@router.get(
    "/ready",
    operation_id="ready",
    response_model=Health,
    responses={503: {"model": Health, "description": "Not ready: `parts` says why."}},
)
def ready(request: Request, deps: Deps) -> Response:
    """Database and schema are as they must be; 503 with what is wrong otherwise."""
    parts = {"database": _database(deps)}
    ok = all(said == "ok" for said in parts.values())
    view = Health(ok=ok, version=program_version(), parts=parts)
    headers = {"Cache-Control": "no-store"} | ({} if ok else {"Retry-After": "5"})
    return Response(view.model_dump_json(), 200 if ok else 503, headers, "application/json")


def _database(deps: Services) -> str:
    try:
        deps.database.check_schema()
    except (StoreError, SchemaMismatch) as error:
        return str(error)
    return "ok"
