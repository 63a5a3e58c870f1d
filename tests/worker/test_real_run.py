"""Whole jobs with the real kdcore: a dataset inspected, a student trained, outputs shared."""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from distillery.store import jobs
from distillery.store.blobs.blobs import record
from distillery.store.catalog import artifacts, catalog
from distillery.store.db.ids import new_id
from distillery.store.db.tables import Artifact, Dataset, Job, Model, TeacherOutput, Upload
from distillery.store.ops.retention import outputs
from distillery.wire.jobspec import JobSpec
from distillery.worker.context import WorkerContext
from distillery.worker.device import DeviceSlot
from distillery.worker.dispatcher import Dispatcher
from tests.worker.harness import TENANT, WorkerHarness

SPEC = {
    "student": {"architecture": "resnet8"},
    "stages": [{"epochs": 1, "objectives": [{"method": "hard_target"}]}],
    "data": {"batch_size": 8, "validation": 0.25},
    "export": ["safetensors"],
    "seed": 3,
}


def upload(session: Session, harness: WorkerHarness, data: bytes) -> str:
    """Insert a complete upload of these bytes; returns its id."""
    blob = harness.blobs.put_stream([data])
    record(session, blob)
    row = Upload(
        id=new_id("upl"),
        tenant=TENANT,
        state="complete",
        size=blob.size,
        part_size=blob.size,
        blob=blob.sha256,
        created_at=0,
        expires_at=0,
    )
    session.add(row)
    session.flush()
    return row.id


def digits() -> bytes:
    """An npz file with two classes of 8x8 images that differ in brightness."""
    rng = np.random.default_rng(0)
    y = np.arange(32) % 2
    x = (rng.integers(0, 60, (32, 8, 8)) + 180 * y[:, None, None]).astype(np.uint8)
    file = io.BytesIO()
    np.savez(file, x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    return file.getvalue()


@dataclass
class RealRuns:
    """A dispatcher that runs the real kdcore, and a ready dataset."""

    harness: WorkerHarness
    dispatcher: Dispatcher
    dataset: str

    def distill(self, **spec: Any) -> Job:
        """Submit a job and run it, asserting that it succeeds."""
        body = {**SPEC, "dataset": self.dataset, **spec}
        with self.harness.database.write() as session:
            job_id = jobs.submit(session, TENANT, JobSpec.model_validate(body)).id
        assert self.dispatcher.offer(job_id)
        job = self.harness.get(job_id)
        assert (job.state, job.error) == ("succeeded", None)
        return job


@pytest.fixture
def real_runs(harness: WorkerHarness) -> RealRuns:
    """The dataset is inspected by the dispatcher."""
    dispatcher = Dispatcher(
        WorkerContext(
            harness.settings(stall_s=120), harness.database, harness.database, harness.blobs
        ),
        [DeviceSlot(None, 1)],
    )
    with harness.database.write() as session:
        data = upload(session, harness, digits())
        dataset = catalog.create_dataset(
            session, harness.blobs, TENANT, name="digits", upload=data, format="npz"
        )
    assert dataset.inspect_job is not None
    assert dispatcher.offer(dataset.inspect_job)
    with harness.database.read() as session:
        row = session.get_one(Dataset, dataset.id)
        assert (row.state, row.error) == ("ready", None)
    return RealRuns(harness, dispatcher, dataset.id)


def test_a_student_is_trained_and_registered_with_its_files(real_runs: RealRuns) -> None:
    harness, job = real_runs.harness, real_runs.distill()
    with harness.database.read() as session:
        made = artifacts.of_job(session, TENANT, job.id)
        student = session.get_one(Model, job.student_model)
    assert {artifact.kind for artifact in made} >= {"weights", "config"}
    assert all(is_intact(harness, artifact) for artifact in made)
    packs = list(harness.settings().packs.iterdir())
    assert len(packs) == 1 and (packs[0] / "manifest.json").is_file()
    assert student.blob in {artifact.sha256 for artifact in made}
    assert (student.state, student.source_job) == ("ready", job.id)


def test_the_second_student_of_a_teacher_reads_the_stored_outputs(real_runs: RealRuns) -> None:
    teacher = real_runs.distill().student_model
    spec = {
        "teachers": [{"model": teacher}],
        "stages": [{"epochs": 2, "objectives": [{"method": "kd"}]}],
        "teacher_cache": {"views": 2},
        "baseline": False,
    }
    first = real_runs.distill(**spec)
    second = real_runs.distill(**spec, student={"architecture": "resnet14"})
    assert first.result is not None and second.result is not None
    assert first.result["teacher_outputs"] == {"computed": 48, "read": 0}
    assert second.result["teacher_outputs"] == {"computed": 0, "read": 48}
    with real_runs.harness.database.write() as session:
        # Logits, and the scores on the held-out and the test images.
        rows = session.scalars(select(TeacherOutput)).all()
        assert len(rows) == 3 and all(real_runs.harness.blobs.verify(row.blob) for row in rows)
        gone, _ = outputs.collect(session, None, -60)
        assert gone.count == 3
    for row in rows:
        assert real_runs.harness.blobs.discard(row.blob, -60)
    third = real_runs.distill(**spec)
    assert third.result is not None and third.result["teacher_outputs"]["read"] == 0


def is_intact(harness: WorkerHarness, artifact: Artifact) -> bool:
    data = b"".join(harness.blobs.open(artifact.sha256))
    return hashlib.sha256(data).hexdigest() == artifact.sha256 and len(data) == artifact.size
