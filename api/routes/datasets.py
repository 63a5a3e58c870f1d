"""Datasets: uploaded images, inspected before use."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy.orm import Session

from distillery.api.auth import Reader, Writer
from distillery.api.deps import Deps
from distillery.api.idempotency import Created, Creates
from distillery.api.mappers.catalog import blob_sizes, dataset_view
from distillery.api.mappers.common import page_of
from distillery.api.responses import After, Limit, answer
from distillery.api.strict_json import StrictRoute
from distillery.store.catalog import catalog
from distillery.wire.catalog import Dataset, DatasetCreate
from distillery.wire.common import Page

router = APIRouter(prefix="/datasets", tags=["datasets"], route_class=StrictRoute)
DatasetId = Annotated[str, Path(examples=["ds_01k2v6r8m3q4t5w6x7y8z9a0b1"])]


@router.post("", operation_id="createDataset", status_code=202, response_model=Dataset)
def create_dataset(body: DatasetCreate, caller: Writer, creating: Creates, deps: Deps) -> Response:
    """Register an uploaded dataset; it is `ready` once a job has inspected it."""

    def work(s: Session) -> Created:
        row = catalog.create_dataset(
            s, deps.blobs, caller.tenant, name=body.name, upload=body.upload, format=body.format
        )
        view = dataset_view(row, blob_sizes(s, [row.blob])[row.blob])
        return Created(view, f"/v1/datasets/{row.id}", notify=row.inspect_job)

    return creating.run(caller, body, work, status=202)


@router.get("", operation_id="listDatasets", response_model=Page[Dataset])
def list_datasets(
    caller: Reader, request: Request, deps: Deps, limit: Limit = 50, after: After = None
) -> Response:
    """List datasets, newest first."""
    with deps.database.read() as s:
        rows, cursor = catalog.list_datasets(s, caller.tenant, limit=limit, after=after)
        sizes = blob_sizes(s, [row.blob for row in rows])
    views = [dataset_view(row, sizes[row.blob]) for row in rows]
    return answer(request, page_of(views, cursor))


@router.get("/{dataset_id}", operation_id="showDataset", response_model=Dataset)
def show_dataset(dataset_id: DatasetId, caller: Reader, request: Request, deps: Deps) -> Response:
    """Return a dataset; its counts are known once it is `ready`."""
    with deps.database.read() as s:
        row = catalog.get_dataset(s, caller.tenant, dataset_id)
        sizes = blob_sizes(s, [row.blob])
    return answer(request, dataset_view(row, sizes[row.blob]))


@router.delete("/{dataset_id}", operation_id="deleteDataset", status_code=204)
def delete_dataset(dataset_id: DatasetId, caller: Writer, deps: Deps) -> None:
    """Delete a dataset; 409 while an unfinished job needs it."""
    with deps.database.write() as s:
        catalog.delete_dataset(s, caller.tenant, dataset_id)
