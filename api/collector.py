"""Prometheus metrics of the whole service, read from the store by a few short index scans."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from distillery.api.deps import Services
from distillery.api.health_check import OK
from distillery.store.db.database import db_now
from distillery.store.errors import Unavailable
from distillery.store.jobs import job_counts, workers
from distillery.store.ops import reaper_status

Family = GaugeMetricFamily | CounterMetricFamily
MS_PER_S = 1000


class StoreCollector(Collector):
    """Collects metrics from the components of a running API; leaves out those that are down."""

    def __init__(self, deps: Services):
        self._deps = deps

    def collect(self) -> Iterable[Family]:
        """As in Collector."""
        yield self._components()
        yield from self._disk()
        if self._deps.readiness.component("broker") == OK:
            waiting = self._deps.readiness.notifications
            yield _gauge(
                "kd_notifications_waiting",
                "Notifications that no worker has taken.",
                waiting,
            )
        try:
            with self._deps.database.read() as session:
                families = [*_jobs(session), *_workers(session), *_reaper(session)]
        except Unavailable:
            return
        yield from families

    def _components(self) -> Family:
        help_ = "Whether a component of the service works, as in /v1/ready."
        family = GaugeMetricFamily("kd_component_up", help_, labels=("component",))
        for component, result in self._deps.readiness.components().items():
            family.add_metric((component,), float(result == OK))
        return family

    def _disk(self) -> Iterator[Family]:
        free = self._deps.blobs.free_bytes()
        if free is not None:
            yield _gauge("kd_disk_free_bytes", "Free space on the disk of the blobs.", free)


def _gauge(name: str, help_: str, value: float) -> Family:
    return GaugeMetricFamily(name, help_, value=value)


def _jobs(s: Session) -> Iterator[Family]:
    help_ = "Unfinished jobs."
    family = GaugeMetricFamily("kd_jobs", help_, labels=("state", "task"))
    for (state, task), count in job_counts.active(s).items():
        family.add_metric((state.value, task), count)
    yield family
    oldest = job_counts.oldest_queued_at(s)
    age_s = 0.0 if oldest is None else (db_now(s) - oldest) / MS_PER_S
    yield _gauge("kd_oldest_queued_seconds", "Age of the job that has been queued longest.", age_s)
    lapsed = job_counts.lapsed(s)
    yield _gauge("kd_leases_lapsed", "Running jobs whose lease has lapsed.", lapsed)


def _workers(s: Session) -> Iterator[Family]:
    alive = workers.alive(s)
    yield _gauge("kd_workers", "Workers with a recent heartbeat.", len(alive))
    slots = sum(worker.slots for worker in alive)
    yield _gauge("kd_worker_slots", "Slots of all workers with a recent heartbeat.", slots)


def _reaper(s: Session) -> Iterator[Family]:
    last = reaper_status.latest(s)
    if last is None:
        return
    age_s = (db_now(s) - last.at) / MS_PER_S
    yield _gauge("kd_reaper_age_seconds", "Time since the last pass of the reaper.", age_s)
    took_s = last.took_ms / MS_PER_S
    yield _gauge("kd_reaper_duration_seconds", "Duration of the last pass of the reaper.", took_s)
    yield CounterMetricFamily("kd_reaper_runs", "Passes of the reaper.", value=last.count)
    reclaimed = "Lapsed leases whose jobs were requeued, or failed after their last attempt."
    yield CounterMetricFamily("kd_leases_reclaimed", reclaimed, value=last.reclaimed)
    if last.blob_bytes is not None:
        yield _gauge("kd_blob_bytes", "Size of all blobs, measured every 10 min.", last.blob_bytes)
