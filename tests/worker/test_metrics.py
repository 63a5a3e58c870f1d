"""The metrics that a real worker process serves, and its log."""

import json
import socket

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from distillery.store.db.tables import Job
from tests.conftest import free_port
from tests.worker.harness import WorkerHarness, wait_until
from tests.worker.programs import Programs

Samples = dict[tuple[str, tuple[str, ...]], float]


def scrape(port: int) -> Samples:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_attempts_and_renewals_are_counted(harness: WorkerHarness, local: Programs) -> None:
    port = free_port()
    local.start_jobs(POLL_S=0.2, METRICS_PORT=port, LOG_FORMAT="json", LEASE_S=8)
    harness.wait_for(harness.job(steps=2), "succeeded", 60)
    stolen = harness.job(steps=100_000)
    harness.wait_for(stolen, "running", 60)
    assert scrape(port)["kd_slots_busy", ()] == 1
    wait_until(lambda: scrape(port)["kd_lease_renewals_total", ()] > 0, 60)
    with harness.database.write() as session:
        session.execute(update(Job).where(Job.id == stolen).values(attempt=2))
    fenced = ("kd_attempts_total", ("fenced", "inspect_dataset"))
    wait_until(lambda: scrape(port).get(fenced) == 1, 60)
    wait_until(lambda: scrape(port)["kd_slots_busy", ()] == 0, 60)
    seen = scrape(port)
    assert seen["kd_attempts_total", ("succeeded", "inspect_dataset")] == 1
    assert seen["kd_job_wait_seconds_count", ()] == 2
    assert seen["kd_slots", ()] == 1
    assert seen["kd_lease_checks_total", ()] > 0

    lines = [json.loads(line) for line in local.log.read_text().splitlines()]
    (warning,) = [line for line in lines if line["message"].startswith("the lease is lost")]
    assert (warning["job"], warning["attempt"], warning["tenant"]) == (stolen, 1, "default")
    assert warning["level"] == "WARNING"


def test_a_port_in_use_does_not_stop_the_worker(harness: WorkerHarness, local: Programs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        local.start_jobs(POLL_S=0.2, METRICS_PORT=port, LOG_FORMAT="text")
        harness.wait_for(harness.job(steps=1), "succeeded", 60)
    assert f"cannot serve metrics on port {port}" in local.log.read_text()
