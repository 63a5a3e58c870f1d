"""Prometheus metrics of a worker: always counted, served if a port is configured."""

import logging

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from distillery.worker.config import WorkerSettings
from distillery.worker.device import DeviceSlots

logger = logging.getLogger(__name__)
WAIT_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43_200)
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every counter

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
ATTEMPTS = Counter(
    "kd_attempts",
    "Finished attempts, by the job's state after them. fenced: another attempt owned the job, so "
    "nothing was written. abandoned: the database did not answer.",
    ("task", "outcome"),
    registry=REGISTRY,
)
RENEWALS = Counter("kd_lease_renewals", "Lease renewals that succeeded.", registry=REGISTRY)
LEASE_CHECKS = Counter(
    "kd_lease_checks", "Renewals of a lease, and reads of its job's row.", registry=REGISTRY
)
LEASE_CHECK_FAILURES = Counter(
    "kd_lease_check_failures",
    "Renewals and reads that the database did not answer.",
    registry=REGISTRY,
)
WAITED = Histogram(
    "kd_job_wait_seconds",
    "Time from a job becoming runnable (queued, or its backoff over) to the claim.",
    buckets=WAIT_BUCKETS_S,
    registry=REGISTRY,
)
SLOTS = Gauge("kd_slots", "Jobs that this worker can run concurrently.", registry=REGISTRY)
SLOTS_BUSY = Gauge("kd_slots_busy", "Slots in use.", registry=REGISTRY)


def serve(settings: WorkerSettings, slots: DeviceSlots) -> None:
    """Serve the metrics from a thread if a port is configured; log an error if it is in use."""
    SLOTS.set_function(lambda: slots.count)
    SLOTS_BUSY.set_function(lambda: slots.count - slots.free)
    if settings.metrics_port is None:
        return
    try:
        start_http_server(settings.metrics_port, settings.metrics_host, REGISTRY)
    except OSError as error:
        logger.error("cannot serve metrics on port %s: %s", settings.metrics_port, error)
