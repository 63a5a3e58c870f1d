"""Models and datasets: registered from uploads, inspected by a job, then ready to use."""

from typing import TypeVar

from sqlalchemy import String, cast, delete, select
from sqlalchemy.orm import Session, defer

from distillery.store.blobs.blobs import Blobs
from distillery.store.catalog import sniff
from distillery.store.db import cursors
from distillery.store.db.ids import new_id
from distillery.store.db.owned import get_owned
from distillery.store.db.tables import Dataset, Job, Model, Upload
from distillery.store.errors import Conflict, Invalid, NotFound
from distillery.store.jobs.claim import QUEUE
from distillery.store.jobs.fit import check_architecture
from distillery.store.jobs.submit import insert_job
from distillery.wire.request_codes import RequestCode
from distillery.wire.states import ACTIVE
from kdcore.spec.recipe import DatasetFormat, WeightsFormat
from kdcore.spec.run import Network

Item = TypeVar("Item", Model, Dataset)


def create_model(
    s: Session,
    blobs: Blobs,
    tenant: str,
    *,
    name: str,
    upload: str,
    format: WeightsFormat,
    network: Network,
) -> Model:
    """Register uploaded weights and queue their inspection; notify workers of `inspect_job`.

    Raises Invalid or Conflict with a pointer into the request.
    """
    check_architecture(network.architecture, "")
    sha256 = _uploaded(s, blobs, tenant, upload, format)
    model_id = new_id("mdl")
    job = insert_job(s, tenant, "inspect_model", f"Inspect model {name}"[:200], subject=model_id)
    model = Model(
        id=model_id,
        tenant=tenant,
        name=name,
        state="inspecting",
        format=format,
        network=network.model_dump(mode="json"),
        blob=sha256,
        inspect_job=job.id,
        created_at=job.created_at,
    )
    s.add(model)
    s.flush()
    return model


def create_dataset(
    s: Session, blobs: Blobs, tenant: str, *, name: str, upload: str, format: DatasetFormat
) -> Dataset:
    """Register an uploaded dataset and queue its inspection; notify workers of `inspect_job`.

    Raises Invalid or Conflict with a pointer into the request.
    """
    sha256 = _uploaded(s, blobs, tenant, upload, format)
    dataset_id = new_id("ds")
    job = insert_job(
        s, tenant, "inspect_dataset", f"Inspect dataset {name}"[:200], subject=dataset_id
    )
    dataset = Dataset(
        id=dataset_id,
        tenant=tenant,
        name=name,
        state="inspecting",
        format=format,
        blob=sha256,
        inspect_job=job.id,
        created_at=job.created_at,
    )
    s.add(dataset)
    s.flush()
    return dataset


def _uploaded(
    s: Session, blobs: Blobs, tenant: str, upload_id: str, format: WeightsFormat | DatasetFormat
) -> str:
    """Return the blob of a complete upload, after a quick check of its bytes."""
    # Locked, so that its blob is not collected before ours refers to it.
    upload = s.get(Upload, upload_id, with_for_update={"read": True})
    if upload is None or upload.tenant != tenant:
        raise Invalid(f"no upload {upload_id}", code=RequestCode.UNKNOWN_UPLOAD, pointer="/upload")
    if upload.state != "complete" or upload.blob is None:
        raise Conflict(
            f"the upload is {upload.state}, not complete: complete it, or upload the file again",
            code=RequestCode.UPLOAD_INCOMPLETE,
            pointer="/upload",
        )
    sniff.check(blobs, upload.blob, format)
    return upload.blob


def get_model(s: Session, tenant: str, model_id: str) -> Model:
    """Return a model of this tenant. Raises NotFound."""
    return get_owned(s, Model, tenant, model_id)


def get_dataset(s: Session, tenant: str, dataset_id: str) -> Dataset:
    """Return a dataset of this tenant. Raises NotFound."""
    return get_owned(s, Dataset, tenant, dataset_id)


def list_models(
    s: Session, tenant: str, *, limit: int = 50, after: str | None = None
) -> tuple[list[Model], str | None]:
    """Return models, newest first, without `modules`, and the cursor of the next page."""
    query = select(Model).where(Model.tenant == tenant)
    query = query.options(defer(Model.modules, raiseload=True))
    return cursors.page_by_id(s, query, Model.id, limit, after)


def list_datasets(
    s: Session, tenant: str, *, limit: int = 50, after: str | None = None
) -> tuple[list[Dataset], str | None]:
    """Return datasets, newest first, and the cursor of the next page."""
    query = select(Dataset).where(Dataset.tenant == tenant)
    return cursors.page_by_id(s, query, Dataset.id, limit, after)


def delete_model(s: Session, tenant: str, model_id: str) -> None:
    """Delete a model. Raises NotFound, or Conflict `in_use` while an unfinished job needs it."""
    _delete(s, Model, tenant, model_id)


def delete_dataset(s: Session, tenant: str, dataset_id: str) -> None:
    """Delete a dataset. Raises NotFound, or Conflict `in_use` while an unfinished job needs it."""
    _delete(s, Dataset, tenant, dataset_id)


def _delete(s: Session, table: type[Item], tenant: str, item_id: str) -> None:
    # The lock on the row serializes this with a submission that names it.
    query = select(table.id).where(table.id == item_id, table.tenant == tenant)
    if s.scalar(query.with_for_update()) is None:
        raise NotFound(f"no {table.__name__.lower()} {item_id}")
    named = cast(Job.spec, String).contains(item_id, autoescape=True)
    users = select(Job.id).where(
        Job.tenant == tenant,
        Job.task.in_(QUEUE),  # all tasks: lets the database use the index
        Job.state.in_(ACTIVE),
        (Job.subject == item_id) | named,
    )
    user = s.scalar(users.limit(1))
    if user is not None:
        raise Conflict(f"job {user} still needs it: cancel that job first", code=RequestCode.IN_USE)
    s.execute(delete(table).where(table.id == item_id))
