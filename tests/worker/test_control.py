"""Pause, cancel, retry and shutdown, with real processes."""

import signal
import subprocess
from typing import Any

import pytest
from sqlalchemy import update

from distillery.store import jobs
from distillery.store.blobs.blobs import Stored, record
from distillery.store.db.tables import Dataset, Job
from distillery.store.errors import Conflict
from tests.worker.harness import TENANT, WorkerHarness, running, wait_until
from tests.worker.programs import Programs, child_of, is_gone, start_running

LONG = 100_000  # more steps than any test waits for


def request(harness: WorkerHarness, verb: str, job_id: str) -> Job:
    """Call one of jobs.request_cancel, request_pause, resume or retry; returns the job's row."""
    with harness.database.write() as s:
        job: Job = getattr(jobs, verb)(s, TENANT, job_id)
        return job


def wait_for_steps(harness: WorkerHarness, job_id: str) -> None:
    wait_until(lambda: "student/loss" in harness.get(job_id).latest, 60)


def huge_job(harness: WorkerHarness) -> str:
    """Queue a job whose dataset, a sparse file, takes longer to stage than any test waits."""
    job_id, huge = harness.job(), Stored("ab" * 32, 2**40)
    hole = harness.blobs.root / "ab" / "ab" / huge.sha256
    hole.parent.mkdir(parents=True)
    with hole.open("wb") as file:
        file.truncate(huge.size)
    with harness.database.write() as s:
        record(s, huge)
        s.execute(update(Dataset).values(blob=huge.sha256))
    return job_id


def is_staging(harness: WorkerHarness, job_id: str) -> bool:
    return (harness.home / "runs" / job_id / "1" / "inputs").exists()


def test_a_pause_frees_the_slot_and_a_resume_continues(harness: WorkerHarness) -> None:
    first = harness.job(steps=LONG)
    with running(harness.dispatcher(slots=1)):
        wait_for_steps(harness, first)
        second = harness.job(steps=1)
        request(harness, "request_pause", first)
        assert harness.wait_for(second, "succeeded", 60).attempt == 1
        paused = harness.get(first)
        assert (paused.state, paused.failures, paused.worker) == ("paused", 0, None)
        request(harness, "resume", first)
        wait_until(lambda: harness.get(first).latest.get("start", 0) > 0, 60)
        request(harness, "request_cancel", first)
        assert harness.wait_for(first, "cancelled", 60).attempt == 2


def test_a_retry_continues_from_the_checkpoint(harness: WorkerHarness) -> None:
    job_id = harness.job(steps=LONG, resumed_exit=12)
    with running(harness.dispatcher()):
        wait_for_steps(harness, job_id)
        request(harness, "request_pause", job_id)
        harness.wait_for(job_id, "paused", 60)
        request(harness, "resume", job_id)
        failed = harness.wait_for(job_id, "failed", 60)
        start = failed.latest["start"]
        assert (failed.attempt, start > 0) == (2, True)
        request(harness, "retry", job_id)
        wait_until(lambda: harness.get(job_id).attempt == 3, 60)
        again = harness.wait_for(job_id, "failed", 60)
    assert (again.attempt, again.latest["start"], again.failures) == (3, start, 0)


@pytest.mark.parametrize(
    ("verb", "state"), [("request_cancel", "cancelled"), ("request_pause", "paused")]
)
def test_a_request_takes_effect_while_a_large_dataset_is_staged(
    harness: WorkerHarness, verb: str, state: str
) -> None:
    job_id = huge_job(harness)
    with running(harness.dispatcher()):
        wait_until(lambda: is_staging(harness, job_id), 60)
        request(harness, verb, job_id)
        assert harness.wait_for(job_id, state, 60).failures == 0


@pytest.mark.parametrize("state", ["queued", "backoff", "paused", "failed"])
def test_a_job_that_is_not_running_is_cancelled_immediately(
    harness: WorkerHarness, state: str
) -> None:
    scripts: dict[str, dict[str, Any]] = {"backoff": {"signal": 9}, "failed": {"exit": 12}}
    job_id = harness.job(**scripts.get(state, {}))
    if state == "paused":
        request(harness, "request_pause", job_id)
    elif state != "queued":
        assert harness.dispatcher().offer(job_id)
    if state == "failed":
        with pytest.raises(Conflict, match="already failed"):
            request(harness, "request_cancel", job_id)
    else:
        assert request(harness, "request_cancel", job_id).state == "cancelled"
        assert not harness.dispatcher().offer(job_id)


def test_the_job_of_a_stopped_worker_continues_on_another(local: Programs) -> None:
    """The lease is far longer than the test: it is released, not waited for."""
    worker, job_id = start_running(local)
    worker.terminate()
    other = local.start(["-m", "tests.worker.odd_worker"], POLL_S=0.2, LEASE_S=6000)
    wait_until(lambda: start_step(local.harness, job_id) > 0, 60)
    job = local.harness.get(job_id)
    assert (job.attempt, job.failures) == (2, 0)
    assert worker.wait(60) == 0
    other.kill()


def start_step(harness: WorkerHarness, job_id: str) -> float:
    return float(harness.get(job_id).latest.get("start", 0))


def test_a_second_signal_does_not_wait_for_a_checkpoint(local: Programs) -> None:
    job_id = local.harness.job(steps=LONG, ignore_sigterm=True)
    worker = local.start(["-m", "tests.worker.odd_worker"], POLL_S=0.2, GRACE_S=6000)
    wait_for_steps(local.harness, job_id)
    child = child_of(worker)
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert is_gone(child)
    job = local.harness.get(job_id)
    assert (job.state, job.failures) == ("queued", 0)


def test_a_worker_that_stages_a_dataset_stops_immediately(local: Programs) -> None:
    job_id = huge_job(local.harness)
    worker = local.start(["-m", "tests.worker.odd_worker"], POLL_S=0.2)
    wait_until(lambda: is_staging(local.harness, job_id), 60)
    worker.terminate()
    assert worker.wait(60) == 0
    job = local.harness.get(job_id)
    assert (job.state, job.failures, job.not_before) == ("queued", 0, 0)


def test_a_signal_before_celery_has_its_handlers_stops_the_worker(local: Programs) -> None:
    """The poll sends heartbeats, and could claim a job, long before Celery has started."""
    worker = local.start(["-m", "tests.worker.odd_worker"])
    wait_until(local.has_worker, 60)
    worker.terminate()
    assert worker.wait(60) == 0, local.log.read_text()
    assert not local.has_worker(), "a stopped worker removes its row"
