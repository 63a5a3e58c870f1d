"""kill -9 of the worker during a job: the job resumes and ends bit-identically."""

from pathlib import Path

import pytest

from distillery.sdk.client import Client
from distillery.wire.jobs import Job
from tests.e2e.pictures import training, write_pictures
from tests.e2e.service import Service, finish, lives, wait_until

pytestmark = pytest.mark.e2e

# About 300 steps: seconds on any machine, so the kill comes long before the last one.
EPOCHS = 30


def test_a_job_survives_its_worker_bit_for_bit(tmp_path: Path) -> None:
    with Service(tmp_path / "home") as service:
        client = service.client
        file = write_pictures(tmp_path / "pictures.npz")
        dataset = client.datasets.push(file)
        spec = training(dataset.id, epochs=EPOCHS, checkpoint_every_s=0.3)

        job = client.jobs.submit({**spec, "name": "killed"})
        wait_until(lambda: _checkpoints(client, job, attempt=1) >= 2, 60, "two checkpoints")
        (run,) = service.runs()
        service.kill("jobs")
        wait_until(lambda: not lives(run), 2, "the run dies with its worker")

        service.start("jobs")
        killed = finish(client, job)
        assert killed.state == "succeeded", killed.error
        assert killed.attempt == 2
        assert killed.result is not None and killed.result.resumes == 1
        assert _first_step(client, job, attempt=2) > 1

        control = finish(client, client.jobs.submit({**spec, "name": "control"}))
        assert control.attempt == 1
        assert _weights(client, killed) == _weights(client, control)
        assert _curve(client, killed) == _curve(client, control)


def _checkpoints(client: Client, job: Job, attempt: int) -> int:
    if client.jobs.get(job.id).attempt != attempt:
        return 0
    return sum(event.kind == "checkpoint" for event in client.jobs.get(job.id).events())


def _first_step(client: Client, job: Job, attempt: int) -> int:
    """The first optimizer step in an attempt's progress events."""
    return next(
        int(event.body["step"])
        for event in client.jobs.get(job.id).events()
        if event.attempt == attempt and event.kind == "progress"
    )


def _weights(client: Client, job: Job) -> str:
    (sha256,) = (a.sha256 for a in client.jobs.get(job.id).artifacts() if a.kind == "weights")
    return sha256


# Losses are not compared: each is a mean since the previous point, shorter after a resume.
def _curve(client: Client, job: Job) -> list[tuple[int, float]]:
    (series,) = client.jobs.get(job.id).metrics(keys=["student/accuracy"]).series
    return list(zip(series.steps, series.values, strict=True))
