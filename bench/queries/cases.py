"""The hot queries, as the API, the worker and the reaper make them: `CASES`, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from bench.seeds import DATASET, RUNNING, SERIES, TENANT, Seeds, job_id, spec_of
from distillery.store import idempotency, jobs
from distillery.store.catalog import artifacts, catalog
from distillery.store.db import cursors
from distillery.store.db.tables import Attempt, Job
from distillery.store.errors import Conflict
from distillery.store.jobs import Order, curves, events, job_counts
from distillery.wire.jobspec import JobSpec
from distillery.wire.states import State
from kdcore.spec.events import MetricsEvent

LIMIT = 100
Ask = Callable[[Session, Seeds], object]


@dataclass(frozen=True)
class Case:
    """One query; `reads`: the most rows that a step of its plan may read."""

    ask: Ask
    reads: int = 10 * LIMIT


def _list(**how: Any) -> Ask:
    return lambda s, seeds: jobs.page(s, TENANT, limit=LIMIT, **how)


def _deep(s: Session, seeds: Seeds) -> object:
    after = cursors.encode(job_id(seeds.jobs // 10))
    return jobs.page(s, TENANT, limit=LIMIT, after=after)


def _best_deep(order: Order) -> Ask:
    def ask(s: Session, seeds: Seeds) -> object:
        after = cursors.encode(0.63, job_id(seeds.jobs // 2))
        return jobs.page(s, TENANT, limit=LIMIT, after=after, order=order)

    return ask


def _unrated(**how: Any) -> Ask:
    def ask(s: Session, seeds: Seeds) -> object:
        after = cursors.encode(None, job_id(seeds.jobs // 2))
        return jobs.page(s, TENANT, limit=LIMIT, after=after, **how)

    return ask


def _show(s: Session, seeds: Seeds) -> object:
    waiting = job_id(seeds.jobs // 200 * 100 + 1)
    return jobs.waiting_for(s, jobs.get(s, TENANT, waiting))


def _claim_of(s: Session, seeds: Seeds) -> jobs.Claim:
    """A claim on a running job, the newest but one."""
    job = s.get_one(Job, job_id(seeds.jobs - 2))
    spec = JobSpec.model_validate(job.spec)
    if s.get(Attempt, (job.id, job.attempt)) is None:
        s.add(Attempt(job_id=job.id, number=job.attempt, worker="w", started_at=0))
        s.flush()
    return jobs.Claim(job.id, TENANT, job.task, job.attempt, spec, None)


def _append(s: Session, seeds: Seeds) -> object:
    batch = [
        MetricsEvent(seq=n, at=1.0, step=10**6 + n, values=dict.fromkeys(SERIES, 0.5))
        for n in range(1, 101)
    ]
    return events.append(s, _claim_of(s, seeds), batch)


def _lapse(s: Session, seeds: Seeds) -> object:
    lapsed = [job_id(seeds.jobs - 1 - n) for n in range(RUNNING // 2)]
    s.execute(update(Job).where(Job.id.in_(lapsed)).values(lease_until=1))
    s.flush()
    return jobs.reap(s)


def _delete_dataset(s: Session, seeds: Seeds) -> object:
    try:
        catalog.delete_dataset(s, TENANT, DATASET)
    except Conflict:
        return None
    raise AssertionError("no job uses the dataset")


def _key(s: Session, seeds: Seeds) -> object:
    assert idempotency.find(s, TENANT, "k", "f") is None
    body: dict[str, Any] = {}
    idempotency.save(s, TENANT, "k", "f", status=202, location=None, body=body)
    return None


SPEC = JobSpec.model_validate(spec_of())
CASES: dict[str, Case] = {
    "list, first page": Case(_list()),
    "list, deep page": Case(_deep),
    "list, succeeded": Case(_list(state=State.SUCCEEDED)),
    "list, running": Case(_list(state=State.RUNNING)),
    "list, inspections": Case(_list(task="inspect_dataset")),
    "best gain, first page": Case(_list(order="gain")),
    "best gain, deep page": Case(_best_deep("gain")),
    "best gain, unrated": Case(_unrated(order="gain")),
    "best gain, succeeded": Case(_list(order="gain", state=State.SUCCEEDED)),
    "best gain, succeeded, unrated": Case(_unrated(order="gain", state=State.SUCCEEDED)),
    "best gain, failed": Case(_list(order="gain", state=State.FAILED)),
    "best accuracy, deep page": Case(_best_deep("student_accuracy")),
    "show, queued": Case(_show),
    "curve": Case(lambda s, x: curves.curves(s, x.newest, [SERIES[0]]), reads=10_000),
    "all curves": Case(lambda s, x: curves.curves(s, x.newest), reads=40_000),
    "curve, new points": Case(lambda s, x: curves.curves(s, x.newest, SERIES[:1], 9000)),
    "events after": Case(lambda s, x: events.page(s, x.newest, after=50)),
    "transitions": Case(lambda s, x: events.transitions(s, x.newest)),
    "artifacts": Case(lambda s, x: artifacts.of_job(s, TENANT, x.newest)),
    "submit": Case(lambda s, x: jobs.submit(s, TENANT, SPEC)),
    "idempotency key": Case(_key),
    "estimate": Case(lambda s, x: jobs.estimate(s, TENANT, SPEC)),
    "job counts": Case(
        lambda s, x: (job_counts.active(s), job_counts.lapsed(s), job_counts.oldest_queued_at(s))
    ),
    "oldest queued": Case(lambda s, x: job_counts.oldest_queued(s, TENANT)),
    "claimable": Case(lambda s, x: jobs.claimable(s, 4)),
    "claim": Case(lambda s, x: jobs.claim(s, job_id(101), "w", 60.0)),
    "renew lease": Case(lambda s, x: jobs.renew_lease(s, _claim_of(s, x), 60.0)),
    "append events": Case(_append),
    "reaper": Case(_lapse),
    "delete dataset": Case(_delete_dataset),
}
