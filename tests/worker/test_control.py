"""Pause, cancel, retry, shutdown: as users and operators ask for them, with real processes."""

import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from distillery.store import jobs
from distillery.store.blobs.blobs import Stored, record
from distillery.store.db.tables import Dataset, Job
from distillery.store.errors import Conflict
from tests.worker.conftest import TENANT, WorkerHarness, running, wait_until
from tests.worker.test_programs import Programs, child_of, is_gone, start_busy

LONG = 100_000  # steps that no test waits for


def ask(harness: WorkerHarness, verb: str, job_id: str) -> Job:
    """Pause, resume, cancel or retry a job."""
    with harness.database.write() as s:
        stop_reason: Job = getattr(jobs, verb)(s, TENANT, job_id)
        return stop_reason


def wait_for_steps(harness: WorkerHarness, job_id: str) -> None:
    wait_until(lambda: "student/loss" in harness.get(job_id).latest, 60)


def huge_job(harness: WorkerHarness) -> str:
    """A job whose dataset takes longer to stage than any test waits: nearly all of it is a hole."""
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


def test_a_pause_frees_the_slot_and_a_resume_goes_on(harness: WorkerHarness) -> None:
    first = harness.job(steps=LONG)
    with running(harness.dispatcher(slots=1)):
        wait_for_steps(harness, first)
        second = harness.job(steps=1)
        ask(harness, "request_pause", first)
        assert harness.wait_for(second, "succeeded", 60).attempt == 1
        paused = harness.get(first)
        assert (paused.state, paused.failures, paused.worker) == ("paused", 0, None)
        ask(harness, "resume", first)
        wait_until(lambda: harness.get(first).latest.get("start", 0) > 0, 60)
        ask(harness, "request_cancel", first)
        assert harness.wait_for(first, "cancelled", 60).attempt == 2


def test_a_retry_goes_on_from_the_checkpoint(harness: WorkerHarness) -> None:
    job_id = harness.job(steps=LONG, resumed_exit=12)
    with running(harness.dispatcher()):
        wait_for_steps(harness, job_id)
        ask(harness, "request_pause", job_id)
        harness.wait_for(job_id, "paused", 60)
        ask(harness, "resume", job_id)
        failed = harness.wait_for(job_id, "failed", 60)
        start = failed.latest["start"]
        assert (failed.attempt, start > 0) == (2, True)
        ask(harness, "retry", job_id)
        wait_until(lambda: harness.get(job_id).attempt == 3, 60)
        again = harness.wait_for(job_id, "failed", 60)
    assert (again.attempt, again.latest["start"], again.failures) == (3, start, 0)


@pytest.mark.parametrize(
    ("verb", "state"), [("request_cancel", "cancelled"), ("request_pause", "paused")]
)
def test_what_is_asked_while_a_large_dataset_is_staged_is_heard(
    harness: WorkerHarness, verb: str, state: str
) -> None:
    job_id = huge_job(harness)
    with running(harness.dispatcher()):
        wait_until(lambda: is_staging(harness, job_id), 60)
        ask(harness, verb, job_id)
        assert harness.wait_for(job_id, state, 60).failures == 0


@pytest.mark.parametrize("state", ["queued", "backoff", "paused", "failed"])
def test_a_cancel_where_nothing_runs_is_done_at_once(harness: WorkerHarness, state: str) -> None:
    scripts: dict[str, dict[str, Any]] = {"backoff": {"signal": 9}, "failed": {"exit": 12}}
    job_id = harness.job(**scripts.get(state, {}))
    if state == "paused":
        ask(harness, "request_pause", job_id)
    elif state != "queued":
        assert harness.dispatcher().offer(job_id)
    if state == "failed":
        with pytest.raises(Conflict, match="already failed"):
            ask(harness, "request_cancel", job_id)
    else:
        assert ask(harness, "request_cancel", job_id).state == "cancelled"
        assert not harness.dispatcher().offer(job_id)


@pytest.fixture
def local(harness: WorkerHarness) -> Iterator[Programs]:
    programs = Programs(harness, None)
    yield programs
    programs.stop()


def test_a_job_whose_worker_stops_goes_on_at_another_at_once(local: Programs) -> None:
    """The lease is far longer than the test: it was released, not waited for."""
    worker, job_id = start_busy(local)
    worker.terminate()
    heir = local.start(["-m", "tests.worker.odd_worker"], POLL_S=0.2, LEASE_S=6000)
    wait_until(lambda: shop_start(local.harness, job_id) > 0, 60)
    job = local.harness.get(job_id)
    assert (job.attempt, job.failures) == (2, 0)
    assert worker.wait(60) == 0
    heir.kill()


def shop_start(harness: WorkerHarness, job_id: str) -> float:
    return float(harness.get(job_id).latest.get("start", 0))


def test_a_second_signal_does_not_wait_for_a_checkpoint(local: Programs) -> None:
    job_id = local.harness.job(steps=LONG, deaf=True)
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


def test_a_worker_that_is_staging_stops_at_once(local: Programs) -> None:
    job_id = huge_job(local.harness)
    worker = local.start(["-m", "tests.worker.odd_worker"], POLL_S=0.2)
    wait_until(lambda: is_staging(local.harness, job_id), 60)
    worker.terminate()
    assert worker.wait(60) == 0
    job = local.harness.get(job_id)
    assert (job.state, job.failures, job.not_before) == ("queued", 0, 0)


def test_a_signal_is_heard_before_celery_listens(local: Programs) -> None:
    """The poll beats, and might claim, long before Celery has set itself up."""
    worker = local.start(["-m", "tests.worker.odd_worker"])
    wait_until(local.has_worker, 60)
    worker.terminate()
    assert worker.wait(60) == 0, local.log.read_text()
    assert not local.has_worker(), "a worker that stops says goodbye"
