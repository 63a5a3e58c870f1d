"""A warm process runs a job, with the same weights as a cold start."""

from pathlib import Path

import pytest

from distillery.sdk.client import Client
from distillery.wire.jobs import Job
from tests.e2e.pictures import training, write_pictures
from tests.e2e.service import Service, finish, lives, wait_until

pytestmark = pytest.mark.e2e


def test_a_warm_process_runs_a_job(tmp_path: Path) -> None:
    file = write_pictures(tmp_path / "pictures.npz")
    with Service(tmp_path / "warm", KD_WARM="true") as service:
        dataset = _push(service.client, file)
        wait_until(lambda: _is_warm(service), 120, "a run is warm after the inspection")
        (warm_run,) = service.runs()
        job = service.client.jobs.submit(training(dataset, epochs=2))
        job = finish(service.client, job)
        assert job.state == "succeeded", job.error
        assert not lives(warm_run), "a warm process is used once"
        warm = _weights(service.client, job)
        log = (service.home / "jobs.log").read_text()
        assert f"using warm run {warm_run.pid} job={job.id} attempt=1" in log
        wait_until(lambda: len(service.runs()) == 1, 60, "the next process is started")
        (warm_run,) = service.runs()
        service.kill("jobs")
        wait_until(lambda: not lives(warm_run), 2, "a warm process dies with its worker")
        service.start("jobs")
    with Service(tmp_path / "cold") as service:
        job = service.client.jobs.submit(training(_push(service.client, file), epochs=2))
        assert _weights(service.client, finish(service.client, job)) == warm


def _push(client: Client, file: Path) -> str:
    return client.datasets.push(file).id


def _is_warm(service: Service) -> bool:
    log = (service.home / "jobs.log").read_text()
    return log.rfind("a run is warm") > log.rfind(": started ") > 0


def _weights(client: Client, job: Job) -> str:
    (sha256,) = (a.sha256 for a in client.jobs.get(job.id).artifacts() if a.kind == "weights")
    return sha256
