"""Estimates: exact steps and images, and seconds from the last similar job."""

from distillery.store import jobs
from distillery.store.db.database import Database
from tests.store.makers import (
    LEASE_S,
    TENANT,
    WEIGHTS,
    add_dataset,
    add_model,
    distill_result,
    spec_of,
)


def test_steps_are_whole_batches_for_every_epoch_and_arm(database: Database) -> None:
    with database.write() as s:
        dataset, teacher = add_dataset(s), add_model(s)
    with database.read() as s:
        plain = {"data": {"batch_size": 32}}  # 100 images, 10 held out: 2 batches of 32
        assert jobs.estimate(s, TENANT, spec_of(dataset, teacher, **plain)) == jobs.Estimate(
            steps=2 * 2 * 2, images=8 * 32, estimated_s=None
        )
        assert jobs.estimate(s, TENANT, spec_of(dataset, **plain)).steps == 4
        without = spec_of(dataset, teacher, baseline=False, data={"batch_size": 64})
        assert jobs.estimate(s, TENANT, without).steps == 2
        few = spec_of(dataset, data={"train_limit": 20, "validation": 0, "batch_size": 64})
        assert jobs.estimate(s, TENANT, few) == jobs.Estimate(2, 40, None)
        shared = spec_of(dataset, data={"batch_size": 16, "accumulate": 2})
        assert jobs.estimate(s, TENANT, shared) == jobs.Estimate(4, 4 * 32, None)


def test_seconds_follow_the_newest_similar_job(database: Database) -> None:
    with database.write() as s:
        dataset, other = add_dataset(s), add_dataset(s)
        for seconds in (99.0, 10.0):
            job = jobs.submit(s, TENANT, spec_of(dataset))
            claim = jobs.claim(s, job.id, "w", LEASE_S)
            assert claim is not None
            jobs.succeed(s, claim, distill_result(seconds=seconds), [WEIGHTS])
    with database.read() as s:
        assert jobs.estimate(s, TENANT, spec_of(dataset)).estimated_s == 10.0
        longer = [{"epochs": 6, "objectives": [{"method": "hard_target"}]}]
        assert jobs.estimate(s, TENANT, spec_of(dataset, stages=longer)).estimated_s == 30.0
        assert jobs.estimate(s, TENANT, spec_of(other)).estimated_s is None
