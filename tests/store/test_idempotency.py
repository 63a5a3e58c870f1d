"""Idempotency keys: the work of a key is done once, also for concurrent requests."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from distillery.store import idempotency
from distillery.store.db.database import Database
from distillery.store.db.tables import IdempotencyKey, Job
from distillery.store.errors import Invalid
from tests.store.makers import TENANT, add_job

PRINT = "f" * 64


def post(database: Database, key: str = "k1", fingerprint: str = PRINT) -> str:
    """What the API does: the job's id, new or kept."""
    with database.write() as s:
        kept = idempotency.find(s, TENANT, key, fingerprint)
        if kept is not None:
            return str(kept.body["id"])
        job = add_job(s)
        idempotency.save(
            s, TENANT, key, fingerprint, status=202, location="/x", body={"id": job.id}
        )
        return job.id


def test_many_at_once_make_one_job(database: Database) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = set(pool.map(lambda _: post(database), range(12)))
    with database.read() as s:
        assert answers == set(s.scalars(select(Job.id)))
    assert len(answers) == 1 and post(database, "k2") not in answers


def test_a_key_belongs_to_one_request(database: Database) -> None:
    post(database)
    with pytest.raises(Invalid) as caught:
        post(database, fingerprint="0" * 64)
    assert caught.value.code == "idempotency_key_reused"


def test_work_that_fails_leaves_no_key(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as s:
        idempotency.find(s, TENANT, "k1", PRINT)
        idempotency.save(s, TENANT, "k1", PRINT, status=202, location=None, body={})
        raise RuntimeError("the work failed")
    with database.write() as s:
        assert idempotency.find(s, TENANT, "k1", PRINT) is None


def test_answers_are_kept_for_a_day(database: Database) -> None:
    first = post(database)
    with database.write() as s:
        s.execute(update(IdempotencyKey).values(created_at=1))
    assert post(database) != first
    with database.write() as s:
        s.execute(update(IdempotencyKey).values(created_at=1))
        idempotency.delete_expired(s)
        assert s.scalars(select(IdempotencyKey)).all() == []
