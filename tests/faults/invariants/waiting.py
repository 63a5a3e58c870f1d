"""I9 and I10: no job waits unnoticed, and an idempotency key made one job."""

from collections import Counter

from sqlalchemy import select

from distillery.store.db.tables import IdempotencyKey
from distillery.store.jobs.claim import claimable
from distillery.store.jobs.move import backoff_s
from distillery.wire.states import State
from tests.faults.invariants.evidence import Evidence, Violation, Violations

LONGEST_BACKOFF_MS = backoff_s(100) * 1000
LONGEST_LEASE_MS = 24 * 3600 * 1000
ALL = 2**31 - 1


def nothing_unsent(evidence: Evidence) -> Violations:
    """I9: the reaper notifies workers of every queued job whose backoff is over, every backoff ends
    soon, and every lease of a running job lapses in time; once settled, none has lapsed."""
    now = evidence.now()
    announced = set(claimable(evidence.session, ALL))
    for job in evidence.jobs:
        if job.state is State.QUEUED and job.id not in announced:
            if job.not_before <= now:
                yield Violation(job.id, "is queued and the reaper would not notify workers of it")
            elif job.not_before > now + LONGEST_BACKOFF_MS:
                yield Violation(job.id, f"is held back until {job.not_before}")
        if job.state is State.RUNNING:
            if job.lease_until is None or job.lease_until > now + LONGEST_LEASE_MS:
                yield Violation(job.id, f"runs under a lease until {job.lease_until}")
            elif evidence.settled and job.lease_until < now:
                yield Violation(job.id, f"runs under a lease that lapsed at {job.lease_until}")
        elif job.lease_until is not None:
            yield Violation(job.id, f"is {job.state} and has a lease")


def one_key_one_job(evidence: Evidence) -> Violations:
    """I10: the response stored for a key names an existing job, and no two keys name the same one;
    where all jobs were given different names, no name occurs twice."""
    known = {job.id for job in evidence.jobs}
    made: Counter[str] = Counter()
    for key in evidence.session.scalars(select(IdempotencyKey)):
        job_id = str(key.body.get("id", "")) if isinstance(key.body, dict) else ""
        if not job_id.startswith("job_"):
            continue
        made[job_id] += 1
        if job_id not in known:
            yield Violation(job_id, f"was returned for the key {key.key} and does not exist")
    for job_id, times in made.items():
        if times > 1:
            yield Violation(job_id, f"was returned for {times} keys")
    if evidence.unique_names:
        names = Counter(job.name for job in evidence.jobs if job.task == "distill")
        for job in evidence.jobs:
            if names[job.name] > 1:
                yield Violation(job.id, f"is one of {names[job.name]} jobs named {job.name}")
