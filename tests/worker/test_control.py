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
from tests.worker.conftest import TENANT, Shop, running, wait_until
from tests.worker.test_programs import Programs, child_of, is_gone, start_busy

LONG = 100_000  # steps that no test waits for


def ask(shop: Shop, verb: str, job_id: str) -> Job:
    """Pause, resume, cancel or retry a job."""
    with shop.database.write() as s:
        asked: Job = getattr(jobs, verb)(s, TENANT, job_id)
        return asked


def wait_for_steps(shop: Shop, job_id: str) -> None:
    wait_until(lambda: "student/loss" in shop.get(job_id).latest, 60)


def huge_job(shop: Shop) -> str:
    """A job whose dataset takes longer to stage than any test waits: nearly all of it is a hole."""
    job_id, huge = shop.job(), Stored("ab" * 32, 2**40)
    hole = shop.blobs.root / "ab" / "ab" / huge.sha256
    hole.parent.mkdir(parents=True)
    with hole.open("wb") as file:
        file.truncate(huge.size)
    with shop.database.write() as s:
        record(s, huge)
        s.execute(update(Dataset).values(blob=huge.sha256))
    return job_id


def is_staging(shop: Shop, job_id: str) -> bool:
    return (shop.home / "runs" / job_id / "1" / "inputs").exists()


def test_a_pause_frees_the_slot_and_a_resume_goes_on(shop: Shop) -> None:
    first = shop.job(steps=LONG)
    with running(shop.floor(slots=1)):
        wait_for_steps(shop, first)
        second = shop.job(steps=1)
        ask(shop, "request_pause", first)
        assert shop.wait_for(second, "succeeded", 60).attempt == 1
        paused = shop.get(first)
        assert (paused.state, paused.failures, paused.worker) == ("paused", 0, None)
        ask(shop, "resume", first)
        wait_until(lambda: shop.get(first).latest.get("start", 0) > 0, 60)
        ask(shop, "request_cancel", first)
        assert shop.wait_for(first, "cancelled", 60).attempt == 2


def test_a_retry_goes_on_from_the_checkpoint(shop: Shop) -> None:
    job_id = shop.job(steps=LONG, resumed_exit=12)
    with running(shop.floor()):
        wait_for_steps(shop, job_id)
        ask(shop, "request_pause", job_id)
        shop.wait_for(job_id, "paused", 60)
        ask(shop, "resume", job_id)
        failed = shop.wait_for(job_id, "failed", 60)
        start = failed.latest["start"]
        assert (failed.attempt, start > 0) == (2, True)
        ask(shop, "retry", job_id)
        wait_until(lambda: shop.get(job_id).attempt == 3, 60)
        again = shop.wait_for(job_id, "failed", 60)
    assert (again.attempt, again.latest["start"], again.failures) == (3, start, 0)


@pytest.mark.parametrize(
    ("verb", "state"), [("request_cancel", "cancelled"), ("request_pause", "paused")]
)
def test_what_is_asked_while_a_large_dataset_is_staged_is_heard(
    shop: Shop, verb: str, state: str
) -> None:
    job_id = huge_job(shop)
    with running(shop.floor()):
        wait_until(lambda: is_staging(shop, job_id), 60)
        ask(shop, verb, job_id)
        assert shop.wait_for(job_id, state, 60).failures == 0


@pytest.mark.parametrize("state", ["queued", "backoff", "paused", "failed"])
def test_a_cancel_where_nothing_runs_is_done_at_once(shop: Shop, state: str) -> None:
    scripts: dict[str, dict[str, Any]] = {"backoff": {"signal": 9}, "failed": {"exit": 12}}
    job_id = shop.job(**scripts.get(state, {}))
    if state == "paused":
        ask(shop, "request_pause", job_id)
    elif state != "queued":
        assert shop.floor().offer(job_id)
    if state == "failed":
        with pytest.raises(Conflict, match="already failed"):
            ask(shop, "request_cancel", job_id)
    else:
        assert ask(shop, "request_cancel", job_id).state == "cancelled"
        assert not shop.floor().offer(job_id)


@pytest.fixture
def local(shop: Shop) -> Iterator[Programs]:
    programs = Programs(shop, None)
    yield programs
    programs.stop()


def test_a_job_whose_worker_stops_goes_on_at_another_at_once(local: Programs) -> None:
    """The lease is far longer than the test: it was released, not waited for."""
    worker, job_id = start_busy(local)
    worker.terminate()
    heir = local.start(["-m", "tests.worker.odd_worker"], POLL_S=0.2, LEASE_S=6000)
    wait_until(lambda: shop_start(local.shop, job_id) > 0, 60)
    job = local.shop.get(job_id)
    assert (job.attempt, job.failures) == (2, 0)
    assert worker.wait(60) == 0
    heir.kill()


def shop_start(shop: Shop, job_id: str) -> float:
    return float(shop.get(job_id).latest.get("start", 0))


def test_a_second_signal_does_not_wait_for_a_checkpoint(local: Programs) -> None:
    job_id = local.shop.job(steps=LONG, deaf=True)
    worker = local.start(["-m", "tests.worker.odd_worker"], POLL_S=0.2, GRACE_S=6000)
    wait_for_steps(local.shop, job_id)
    child = child_of(worker)
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert is_gone(child)
    job = local.shop.get(job_id)
    assert (job.state, job.failures) == ("queued", 0)


def test_a_worker_that_is_staging_stops_at_once(local: Programs) -> None:
    job_id = huge_job(local.shop)
    worker = local.start(["-m", "tests.worker.odd_worker"], POLL_S=0.2)
    wait_until(lambda: is_staging(local.shop, job_id), 60)
    worker.terminate()
    assert worker.wait(60) == 0
    job = local.shop.get(job_id)
    assert (job.state, job.failures, job.not_before) == ("queued", 0, 0)


def test_a_signal_is_heard_before_celery_listens(local: Programs) -> None:
    """The poll beats, and might claim, long before Celery has set itself up."""
    worker = local.start(["-m", "tests.worker.odd_worker"])
    wait_until(local.has_worker, 60)
    worker.terminate()
    assert worker.wait(60) == 0, local.log.read_text()
    assert not local.has_worker(), "a worker that stops says goodbye"
