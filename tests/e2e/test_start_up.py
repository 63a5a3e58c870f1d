"""A warm process runs a job, with the same weights as a cold start."""

from pathlib import Path

import pytest

from tests.e2e.pictures import training, write_pictures
from tests.e2e.service import Service, finish, lives, wait_until

pytestmark = pytest.mark.e2e


def test_a_warm_process_runs_a_job(tmp_path: Path) -> None:
    file = write_pictures(tmp_path / "pictures.npz")
    with Service(tmp_path / "warm", KD_WARM="true") as service:
        dataset = service.client.datasets.push(file).id
        wait_until(lambda: _is_warm(service), 120, "a run is warm after the inspection")
        (warm_run,) = service.runs()
        warm = finish(service.client, service.client.jobs.submit(training(dataset, epochs=2)))
        assert warm.state == "succeeded", warm.error
        assert not lives(warm_run), "a warm process is used once"
        log = (service.home / "jobs.log").read_text()
        assert f"using warm run {warm_run.pid} job={warm.id} attempt=1" in log
        wait_until(lambda: len(service.runs()) == 1, 60, "the next process is started")
        (warm_run,) = service.runs()
        service.kill("jobs")
        wait_until(lambda: not lives(warm_run), 2, "a warm process dies with its worker")
    with Service(tmp_path / "warm") as service:  # the same home, without warm processes
        cold = finish(service.client, service.client.jobs.submit(training(dataset, epochs=2)))
        assert "using warm run" not in (service.home / "jobs.log").read_text()[len(log) :]
        weights = {
            artifact.sha256
            for job in (warm, cold)
            for artifact in service.client.jobs.get(job.id).artifacts()
            if artifact.kind == "weights"
        }
    assert len(weights) == 1


def _is_warm(service: Service) -> bool:
    log = (service.home / "jobs.log").read_text()
    return log.rfind("a run is warm") > log.rfind(": started ") > 0
