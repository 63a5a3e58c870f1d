"""Rows and specs that the store's tests start from."""

import json
from typing import Any

from sqlalchemy.orm import Session

from distillery.store import jobs
from distillery.store.blobs import blobs
from distillery.store.db.database import Database, db_now
from distillery.store.db.ids import new_id
from distillery.store.db.tables import Dataset, Job, Model
from distillery.store.jobs.submit import insert_job
from distillery.wire.jobspec import JobSpec
from kdcore.spec.events import MetricsEvent, ProgressEvent
from kdcore.spec.result import InspectDatasetResult

TENANT = "default"
LEASE_S = 60.0
SHA = "ab" * 32
WEIGHTS = jobs.NewArtifact("weights", "student.safetensors", "application/octet-stream", 3, SHA)
_SCORE = {"accuracy": 0.9, "loss": 0.3, "samples": 10}


def add_dataset(s: Session, tenant: str = TENANT, **info: Any) -> Dataset:
    """A ready dataset of labelled grey 28x28 images in ten classes, but for `info`."""
    blobs.record(s, blobs.Stored(SHA, 3))
    plain: dict[str, Any] = {
        "train": 100,
        "test": 20,
        "labelled": True,
        "num_classes": 10,
        "class_names": None,
        "channels": 1,
        "height": 28,
        "width": 28,
        "uniform": True,
    }
    dataset = Dataset(
        id=new_id("ds"),
        tenant=tenant,
        name="digits",
        state="ready",
        format="npz",
        blob=SHA,
        info=InspectDatasetResult.model_validate(plain | info).model_dump(mode="json"),
        created_at=db_now(s),
    )
    s.add(dataset)
    s.flush()
    return dataset


def add_model(
    s: Session, tenant: str = TENANT, *, num_classes: int = 10, channels: int = 3, **columns: Any
) -> Model:
    """A ready resnet20 for 32x32 colour images in ten classes, but for what is given."""
    blobs.record(s, blobs.Stored(SHA, 3))
    network = {
        "architecture": "resnet20",
        "num_classes": num_classes,
        "input": {"channels": channels, "height": 32, "width": 32},
    }
    plain = {
        "id": new_id("mdl"),
        "tenant": tenant,
        "name": "teacher",
        "state": "ready",
        "format": "safetensors",
        "network": network,
        "blob": SHA,
        "modules": ["layer1", "layer1.relu", "layer2"],
        "created_at": db_now(s),
    }
    model = Model(**(plain | columns))
    s.add(model)
    s.flush()
    return model


def spec_of(dataset: Dataset, *teachers: Model, **parts: Any) -> JobSpec:
    """Two epochs of kd (hard_target without teachers) onto resnet8, but for `parts`."""
    method = "kd" if teachers else "hard_target"
    plain: dict[str, Any] = {
        "teachers": [{"model": teacher.id} for teacher in teachers],
        "student": {"architecture": "resnet8"},
        "dataset": dataset.id,
        "stages": [{"epochs": 2, "objectives": [{"method": method}]}],
    }
    return JobSpec.model_validate(plain | parts)


def plain_spec(**parts: Any) -> JobSpec:
    """A valid spec whose dataset need not exist."""
    return spec_of(Dataset(id="ds_none"), **parts)


def add_job(s: Session, tenant: str = TENANT, **parts: Any) -> Job:
    """A queued distillation, without a look at what it names."""
    spec = plain_spec(**parts).model_dump(mode="json")
    return insert_job(s, tenant, "distill", "a job", spec=spec)


def new_job(database: Database, **parts: Any) -> str:
    """The id of a committed queued distillation."""
    with database.write() as s:
        return add_job(s, **parts).id


def claimed(database: Database, worker: str = "w1", lease_s: float = LEASE_S) -> jobs.Claim:
    """A committed claim on a new job."""
    job_id = new_job(database)
    with database.write() as s:
        claim = jobs.claim(s, job_id, worker, lease_s)
    assert claim is not None
    return claim


def state_of(database: Database, job_id: str) -> str:
    """The job's state now."""
    with database.read() as s:
        return s.get_one(Job, job_id).state.value


def distill_result(student: float = 0.9, seconds: float = 10.0) -> dict[str, Any]:
    """A result.json of a distillation."""
    report = {
        "name": "student",
        "architecture": "resnet8",
        "parameters": 5,
        "size_bytes": 20,
        "latency_ms": 1.0,
        "last": _SCORE | {"accuracy": student},
    }
    result = {
        "task": "distill",
        "split": "test",
        "teachers": [report | {"last": _SCORE | {"accuracy": 0.95}}],
        "student": report,
        "baseline": report | {"last": _SCORE | {"accuracy": 0.8}},
        "gain": student - 0.8,
        "retention": student / 0.95,
        "gap_closed": 0.5,
        "network": {"architecture": "resnet8", "num_classes": 10},
        "artifacts": [],
        "machine": {"torch": "2", "device": "cpu", "threads": 1, "precision": "fp32"},
        "bit_exact": True,
        "seconds": {"training": seconds},
    }
    return dict(json.loads(json.dumps(result)))


def metrics_event(seq: int, step: int, **values: float) -> MetricsEvent:
    """One metrics event."""
    return MetricsEvent(seq=seq, at=1.5, step=step, values=values)


def progress_event(seq: int, step: int) -> ProgressEvent:
    """One progress event."""
    return ProgressEvent(
        seq=seq,
        at=1.5,
        arm="student",
        stage=0,
        stages=1,
        epoch=0,
        epochs=1,
        step=step,
        steps=10,
        fraction=step / 10,
    )
