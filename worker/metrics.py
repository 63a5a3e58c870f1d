"""What this worker has done, for Prometheus: counted always, served where a port is given."""

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
    "Attempts that ended, by what became of the job; fenced: it was another's by then.",
    ("task", "outcome"),
    registry=REGISTRY,
)
FENCES = Counter(
    "kd_fences",
    "Attempts whose late writes were refused: the job was taken back.",
    registry=REGISTRY,
)
RENEWALS = Counter("kd_lease_renewals", "Leases renewed.", registry=REGISTRY)
RENEWAL_FAILURES = Counter(
    "kd_lease_renewal_failures", "Beats that the database did not answer.", registry=REGISTRY
)
TICKS = Counter("kd_ticks", "Looks of attempts at their jobs' rows.", registry=REGISTRY)
WAITED = Histogram(
    "kd_job_wait_seconds",
    "From the moment a job was queued, or its pause after a death was over, until it ran.",
    buckets=WAIT_BUCKETS_S,
    registry=REGISTRY,
)
SLOTS = Gauge("kd_slots", "Jobs that this worker runs at once.", registry=REGISTRY)
SLOTS_BUSY = Gauge("kd_slots_busy", "Slots in use.", registry=REGISTRY)


def serve(settings: WorkerSettings, slots: DeviceSlots) -> None:
    """Serve them from a thread, if there is a port for it; a port that is taken ends nothing."""
    SLOTS.set_function(lambda: slots.count)
    SLOTS_BUSY.set_function(lambda: slots.count - slots.free)
    if settings.metrics_port is None:
        return
    try:
        start_http_server(settings.metrics_port, settings.metrics_host, REGISTRY)
    except OSError as error:
        logger.error("no metrics on port %s: %s", settings.metrics_port, error)
