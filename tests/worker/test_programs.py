"""The two programs as real processes: notified, killed, stopped, started without a broker."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from kombu.connection import Connection

from distillery.broker.app import make_app
from distillery.broker.depth import notifications_waiting
from distillery.store import jobs
from distillery.store.db.schema import SchemaMismatch
from distillery.store.db.tables import Job
from distillery.worker.__main__ import open_database
from tests.conftest import is_writable
from tests.worker.harness import WorkerHarness, wait_until
from tests.worker.programs import REAPER, Programs, child_of, is_gone, start_running


@pytest.fixture(params=["local", "redis"])
def programs(request: pytest.FixtureRequest, harness: WorkerHarness) -> Iterator[Programs]:
    url = None if request.param == "local" else request.getfixturevalue("broker_url")
    programs = Programs(harness, url)
    yield programs
    programs.stop()


def send_garbage(programs: Programs) -> None:
    """Send messages that our notifier never sends, through kombu and directly."""
    broker = Connection(programs.broker.url)  # type: ignore[no-untyped-call]
    with broker as connection, connection.SimpleQueue("jobs") as queue:
        for body in ("no task", [["job_1"], {}, {}], 7):
            queue.put(body)
    app = make_app(programs.broker)
    app.send_task("worker.run_job", args=[{"not": "an id"}], queue="jobs")
    app.send_task("worker.run_job", args=[], queue="jobs")
    app.send_task("worker.unknown", args=[1], queue="jobs")
    if programs.broker.is_local:
        (programs.harness.home / "broker/jobs/0.json").write_text("garbage")
    else:
        with redis.Redis.from_url(programs.broker.url) as client:
            client.lpush("jobs", "garbage", '{"body": 1}')


def test_notifications_start_jobs_once_despite_garbage_and_lost_ones_are_repeated(
    programs: Programs,
) -> None:
    worker = programs.start_jobs()
    send_garbage(programs)
    job_id = programs.harness.job(steps=2)
    for _ in range(3):
        programs.notify(job_id)
    programs.notify("job_unknown")
    job = programs.harness.wait_for(job_id, "succeeded")
    assert job.attempt == 1
    last = programs.harness.job()
    programs.notify(last)
    programs.harness.wait_for(last, "succeeded")
    lost = programs.harness.job()
    programs.start(REAPER)
    programs.harness.wait_for(lost, "succeeded", 30)
    worker.terminate()
    assert worker.wait(10) == 0, programs.log.read_text()
    assert not programs.has_worker(), "a stopped worker removes its row"


def test_killing_the_worker_kills_its_run_and_the_reaper_requeues_the_job(
    local: Programs,
) -> None:
    local.start(REAPER)
    worker, job_id = start_running(local, ignore_sigterm=True)
    child = child_of(worker)
    worker.kill()
    wait_until(lambda: is_gone(child), 2)
    job = local.harness.wait_for(job_id, "queued")
    assert job.failures == 1
    assert psutil.Process(local.started[0].pid).children() == [], (
        "Celery's beat is not a child process"
    )


def test_sigterm_checkpoints_and_releases_within_the_grace_period(local: Programs) -> None:
    worker, job_id = start_running(local)
    child = child_of(worker)
    worker.terminate()
    assert worker.wait(8) == 0
    assert is_gone(child)
    job = local.harness.get(job_id)
    assert (job.state, job.failures) == ("queued", 0)
    assert list((local.harness.home / "runs" / job_id / "1/checkpoints").iterdir())


def test_a_frozen_worker_that_wakes_up_kills_its_run_and_writes_nothing(local: Programs) -> None:
    worker, job_id = start_running(local, ignore_sigterm=True)
    child = child_of(worker)
    child.suspend()
    worker.send_signal(signal.SIGSTOP)
    while not is_writable(
        local.harness.url
    ):  # it was frozen during a write: freeze it at another moment
        worker.send_signal(signal.SIGCONT)
        time.sleep(0.05)
        worker.send_signal(signal.SIGSTOP)
    with local.harness.database.write() as session:  # the lease lapsed and another took the job
        session.get_one(Job, job_id).attempt = 2
    before = local.harness.get(job_id).last_event
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: is_gone(child), 3)
    assert local.harness.get(job_id).last_event == before


def test_jobs_run_while_the_broker_is_down(
    harness: WorkerHarness,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    programs = Programs(harness, f"redis://127.0.0.1:{port}/0")
    try:
        worker = programs.start_jobs(POLL_S=0.2)
        job_id = harness.job()
        harness.wait_for(job_id, "succeeded")
        worker.terminate()
        assert worker.wait(10) == 0, programs.log.read_text()
    finally:
        programs.stop()


def test_the_reaper_continues_while_the_broker_is_down(harness: WorkerHarness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    programs = Programs(harness, f"redis://127.0.0.1:{port}/0")
    job_id = harness.job()
    with harness.database.write() as session:
        assert jobs.claim(session, job_id, "a worker that died", -1)
    try:
        programs.start(REAPER, REAPER_S=0.2)
        wait_until(lambda: "the lease lapsed" in programs.log.read_text(), 60)
    finally:
        programs.stop()


def test_notifications_do_not_pile_up_without_a_worker(local: Programs) -> None:
    for _ in range(3):
        local.harness.job()
    reaper = local.start(REAPER, REAPER_S=0.2)
    app = make_app(local.broker)
    wait_until(lambda: notifications_waiting(app) == 3, 30)
    time.sleep(1.5)
    assert notifications_waiting(app) == 3
    reaper.terminate()
    assert reaper.wait(10) == 0, local.log.read_text()


def test_a_wrong_schema_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"python -m distillery\.store migrate"):
        open_database(f"sqlite:///{tmp_path / 'empty.sqlite'}")
