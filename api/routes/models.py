"""Models: uploaded weights of a named architecture, and the students of jobs."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy.orm import Session

from distillery.api.auth import Reader, Writer
from distillery.api.deps import Deps
from distillery.api.downloads import DOWNLOAD_RESPONSES, download
from distillery.api.idempotency import Created, Creates
from distillery.api.mappers.catalog import blob_sizes, model_view
from distillery.api.mappers.common import page_of
from distillery.api.responses import After, Limit, answer
from distillery.api.strict_json import StrictRoute
from distillery.store.catalog import catalog
from distillery.store.errors import NotReady
from distillery.wire.catalog import Model, ModelCreate
from distillery.wire.common import Page

router = APIRouter(prefix="/models", tags=["models"], route_class=StrictRoute)
ModelId = Annotated[str, Path(examples=["mdl_01k2v6r8m3q4t5w6x7y8z9a0b1"])]


@router.post("", operation_id="createModel", status_code=202, response_model=Model)
def create_model(body: ModelCreate, caller: Writer, creating: Creates, deps: Deps) -> Response:
    """Register uploaded weights; the model is `ready` once a job has inspected them."""

    def work(s: Session) -> Created:
        row = catalog.create_model(
            s,
            deps.blobs,
            caller.tenant,
            name=body.name,
            upload=body.upload,
            format=body.format,
            network=body.network(),
        )
        view = model_view(row, blob_sizes(s, [row.blob])[row.blob], modules=False)
        return Created(view, f"/v1/models/{row.id}", notify=row.inspect_job)

    return creating.run(caller, body, work, status=202)


@router.get("", operation_id="listModels", response_model=Page[Model])
def list_models(
    caller: Reader, request: Request, deps: Deps, limit: Limit = 50, after: After = None
) -> Response:
    """List models, newest first, without their modules."""
    with deps.database.read() as s:
        rows, cursor = catalog.list_models(s, caller.tenant, limit=limit, after=after)
        sizes = blob_sizes(s, [row.blob for row in rows])
    views = [model_view(row, sizes[row.blob], modules=False) for row in rows]
    return answer(request, page_of(views, cursor))


@router.get("/{model_id}", operation_id="showModel", response_model=Model)
def show_model(model_id: ModelId, caller: Reader, request: Request, deps: Deps) -> Response:
    """Return a model with every module path that a tap may name."""
    with deps.database.read() as s:
        row = catalog.get_model(s, caller.tenant, model_id)
        sizes = blob_sizes(s, [row.blob])
    return answer(request, model_view(row, sizes[row.blob], modules=True))


@router.delete("/{model_id}", operation_id="deleteModel", status_code=204)
def delete_model(model_id: ModelId, caller: Writer, deps: Deps) -> None:
    """Delete a model; 409 while an unfinished job needs it."""
    with deps.database.write() as s:
        catalog.delete_model(s, caller.tenant, model_id)


@router.head("/{model_id}/weights", include_in_schema=False)
@router.get(
    "/{model_id}/weights",
    operation_id="downloadWeights",
    response_class=Response,
    responses=DOWNLOAD_RESPONSES,
)
def download_weights(model_id: ModelId, caller: Reader, request: Request, deps: Deps) -> Response:
    """Return the weights as safetensors; Range, If-Range and If-None-Match are supported."""
    with deps.database.read() as s:
        row = catalog.get_model(s, caller.tenant, model_id)
        sizes = blob_sizes(s, [row.blob])
    if row.state != "ready":
        raise NotReady(f"the model is {row.state}: it has no checked weights")
    name = f"{row.name}.safetensors"
    return download(
        request, deps.blobs, row.blob, sizes[row.blob], name, "application/octet-stream"
    )
