"""Models and datasets: registered with their inspection, accepted or rejected with it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import InvalidRequestError

from distillery.store import jobs
from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.catalog import catalog, uploads
from distillery.store.config import Retention
from distillery.store.db.database import Database
from distillery.store.db.tables import Blob, Dataset, Model
from distillery.store.errors import Conflict, Invalid, NotFound
from distillery.store.ops.retention import Collector
from distillery.wire.states import State
from kdcore.spec.codes import RunCode
from kdcore.spec.run import Network
from tests.store.catalog.test_sniff import WEIGHTS as SAFETENSORS
from tests.store.catalog.test_sniff import zipped
from tests.store.makers import LEASE_S, TENANT, WEIGHTS, add_dataset, add_model

STATE_DICT = b"PK, as torch.save writes it"


@pytest.fixture
def upload(database: Database, parts: UploadParts, blobs: LocalBlobs) -> Any:
    """Uploads some bytes whole and returns the upload's id."""

    def send(body: bytes) -> str:
        with database.write() as s:
            made = uploads.create(s, parts, TENANT, size=len(body), sha256=None, filename=None)
            slot = uploads.slot(s, TENANT, made.id, 1)
            with parts.receive(slot) as part:
                part.write(body)
                uploads.save_part(s, parts, TENANT, part)
        return uploads.complete(database, parts, blobs, TENANT, made.id).id

    return send


def create_model(database: Database, blobs: LocalBlobs, upload_id: str, **given: Any) -> Model:
    architecture = given.pop("architecture", "resnet20")
    network = Network(architecture=architecture, num_classes=10)
    plain: dict[str, Any] = {"name": "teacher", "format": "safetensors", "network": network}
    with database.write() as s:
        return catalog.create_model(s, blobs, TENANT, upload=upload_id, **(plain | given))


def create_dataset(database: Database, blobs: LocalBlobs, upload_id: str) -> Dataset:
    with database.write() as s:
        return catalog.create_dataset(
            s, blobs, TENANT, name="digits", upload=upload_id, format="npz"
        )


def claim(database: Database, job_id: str | None) -> jobs.Claim:
    assert job_id is not None
    with database.write() as s:
        made = jobs.claim(s, job_id, "w", LEASE_S)
    assert made is not None
    return made


def inspected_model() -> dict[str, Any]:
    return {
        "task": "inspect_model",
        "network": {"architecture": "resnet20", "num_classes": 10},
        "parameters": 7,
        "modules": ["a", "a.b"],
        "artifacts": [],
    }


def test_a_model_is_inspected_then_ready(
    database: Database, blobs: LocalBlobs, upload: Any
) -> None:
    upload_id = upload(SAFETENSORS)
    model = create_model(database, blobs, upload_id)
    assert model.state == "inspecting"
    held = claim(database, model.inspect_job)
    assert (held.task, held.subject, held.spec) == ("inspect_model", model.id, None)
    with database.write() as s:
        job = jobs.succeed(s, held, inspected_model(), [])
        assert job.student_model is None
    with database.read() as s:
        ready = catalog.get_model(s, TENANT, model.id)
        assert (ready.state, ready.blob, ready.parameters) == ("ready", model.blob, 7)
        assert ready.modules == ["a", "a.b"] and ready.version > model.version
        complete = uploads.get(s, TENANT, upload_id)
        assert (complete.state, complete.blob) == ("complete", model.blob), "one blob for both"


def test_of_a_converted_model_the_upload_is_given_up_and_collected(
    database: Database, blobs: LocalBlobs, parts: UploadParts, upload: Any, tmp_path: Path
) -> None:
    """One copy is kept: the converted one. The upload can no longer be registered."""
    upload_id = upload(STATE_DICT)
    model = create_model(database, blobs, upload_id, format="state_dict")
    stored = blobs.put_stream([SAFETENSORS])
    converted = replace(WEIGHTS, sha256=stored.sha256, size=stored.size)
    held = claim(database, model.inspect_job)
    with database.write() as s:
        jobs.succeed(s, held, inspected_model(), [converted])
        s.execute(update(Blob).values(created_at=1))
    for sha256 in (model.blob, stored.sha256):
        os.utime(str(blobs.path_of(sha256)), (1, 1))
    Collector(database, blobs, parts, tmp_path / "runs", Retention()).collect(None, 60)
    with database.read() as s:
        assert catalog.get_model(s, TENANT, model.id).blob == stored.sha256
        expired = uploads.get(s, TENANT, upload_id)
        assert (expired.state, expired.blob) == ("expired", None)
        assert s.scalars(select(Blob.sha256)).all() == [stored.sha256]
    assert blobs.exists(stored.sha256) and not blobs.exists(model.blob)
    with pytest.raises(Conflict, match="expired") as caught:
        create_model(database, blobs, upload_id, format="state_dict")
    assert caught.value.code == "upload_incomplete"


def test_what_else_was_registered_from_a_given_up_upload_keeps_its_bytes(
    database: Database, blobs: LocalBlobs, upload: Any
) -> None:
    upload_id = upload(STATE_DICT)
    first = create_model(database, blobs, upload_id, format="state_dict")
    second = create_model(database, blobs, upload_id, format="state_dict")
    held = claim(database, first.inspect_job)
    with database.write() as s:
        jobs.succeed(s, held, inspected_model(), [WEIGHTS])
    with database.read() as s:
        kept = catalog.get_model(s, TENANT, second.id)
    assert (kept.state, kept.blob) == ("inspecting", second.blob)


def test_a_state_dict_is_not_accepted_unconverted(
    database: Database, blobs: LocalBlobs, upload: Any
) -> None:
    """The run is not trusted: what other runs open as safetensors must be that."""
    model = create_model(database, blobs, upload(STATE_DICT), format="state_dict")
    held = claim(database, model.inspect_job)
    with pytest.raises(ValueError, match="no weights"), database.write() as s:
        jobs.succeed(s, held, inspected_model(), [])


def test_a_dataset_is_inspected_then_ready(
    database: Database, blobs: LocalBlobs, upload: Any
) -> None:
    dataset = create_dataset(database, blobs, upload(zipped()))
    with database.write() as s:
        info = add_dataset(s).info
    assert info is not None
    with database.write() as s:
        made = jobs.claim(s, str(dataset.inspect_job), "w", LEASE_S)
        assert made is not None and made.task == "inspect_dataset"
        jobs.succeed(s, made, info, [])
    with database.read() as s:
        ready = catalog.get_dataset(s, TENANT, dataset.id)
        assert (ready.state, ready.info) == ("ready", info)


def test_a_failed_inspection_rejects_and_a_retry_inspects_again(
    database: Database, blobs: LocalBlobs, upload: Any
) -> None:
    model = create_model(database, blobs, upload(SAFETENSORS))
    held = claim(database, model.inspect_job)
    with database.write() as s:
        jobs.fail(s, held, RunCode.WEIGHTS_MISMATCH, "3 keys are missing")
    with database.read() as s:
        rejected = catalog.get_model(s, TENANT, model.id)
        assert rejected.state == "rejected" and rejected.error is not None
        assert rejected.error["code"] == "weights_mismatch"
    with database.write() as s:
        assert jobs.retry(s, TENANT, held.job_id).state is State.QUEUED
        assert catalog.get_model(s, TENANT, model.id).state == "inspecting"


def test_a_cancelled_inspection_rejects(database: Database, blobs: LocalBlobs, upload: Any) -> None:
    dataset = create_dataset(database, blobs, upload(zipped()))
    with database.write() as s:
        with pytest.raises(Conflict):
            catalog.delete_dataset(s, TENANT, dataset.id)
        jobs.request_cancel(s, TENANT, str(dataset.inspect_job))
    with database.write() as s:
        rejected = catalog.get_dataset(s, TENANT, dataset.id)
        assert rejected.state == "rejected" and (rejected.error or {})["code"] == "cancelled"
        catalog.delete_dataset(s, TENANT, dataset.id)
        with pytest.raises(NotFound):
            catalog.delete_dataset(s, TENANT, dataset.id)


def test_a_retry_after_the_subject_is_gone_is_refused(
    database: Database, blobs: LocalBlobs, upload: Any
) -> None:
    model = create_model(database, blobs, upload(SAFETENSORS))
    held = claim(database, model.inspect_job)
    with database.write() as s:
        jobs.fail(s, held, RunCode.WEIGHTS_MISMATCH, "x")
        catalog.delete_model(s, TENANT, model.id)
    with database.write() as s, pytest.raises(Conflict, match="deleted"):
        jobs.retry(s, TENANT, held.job_id)


def test_what_cannot_be_a_model_leaves_nothing(
    database: Database, parts: UploadParts, blobs: LocalBlobs, upload: Any
) -> None:
    whole, cut = upload(SAFETENSORS), upload(SAFETENSORS[:-1])
    with database.write() as s:
        open_ = uploads.create(s, parts, TENANT, size=9, sha256=None, filename=None).id
        foreign = uploads.create(s, parts, "other", size=9, sha256=None, filename=None).id
    for error, code, arguments in (
        (Invalid, "truncated", {"upload_id": cut}),
        (Invalid, "unknown_upload", {"upload_id": foreign}),
        (Conflict, "upload_incomplete", {"upload_id": open_}),
        (Invalid, "unknown_architecture", {"upload_id": whole, "architecture": "resnet"}),
    ):
        with pytest.raises(error) as caught:
            create_model(database, blobs, **arguments)
        assert caught.value.code == code and caught.value.pointer
    with database.read() as s:
        assert catalog.list_models(s, TENANT) == ([], None)
        assert jobs.page(s, TENANT, task="inspect_model") == ([], None)


def test_lists_page_by_tenant_without_modules(database: Database) -> None:
    with database.write() as s:
        made = [add_model(s).id for _ in range(3)]
        foreign = add_model(s, tenant="other").id
        add_dataset(s)
    with database.read() as s:
        first, after = catalog.list_models(s, TENANT, limit=2)
        rest, end = catalog.list_models(s, TENANT, limit=2, after=after)
        assert [m.id for m in first + rest] == made[::-1] and end is None
        with pytest.raises(InvalidRequestError):
            _ = first[0].modules
        assert len(catalog.list_datasets(s, TENANT)[0]) == 1
        with pytest.raises(NotFound):
            catalog.get_model(s, TENANT, foreign)
