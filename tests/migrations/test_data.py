"""Migrations with rows in every table and with running jobs, upwards and downwards.

There is one revision yet, so the second one is the tests' own (`next_release`).
"""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, select

from distillery.store import jobs, keys
from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.catalog import teacher_outputs, uploads
from distillery.store.db import schema
from distillery.store.db.database import Database
from distillery.store.db.schema import SchemaMismatch
from distillery.store.db.tables import Job, Table, UploadPart
from distillery.store.idempotency import save
from distillery.store.jobs import events, workers
from distillery.store.ops import reaper_status
from distillery.worker.__main__ import open_database
from tests.store.makers import (
    TENANT,
    WEIGHTS,
    add_dataset,
    claimed,
    distill_result,
    metrics_event,
    new_job,
    state_of,
)
from tests.worker.harness import WorkerHarness, running, wait_until

Rows = dict[str, list[dict[str, Any]]]


def fill(database: Database, parts: UploadParts, blobs: LocalBlobs) -> str:
    """Rows in every table; the id of a running job whose lease has lapsed."""
    claim, done = claimed(database, lease_s=-1), claimed(database)
    with database.write() as s:
        events.append(s, claim, [metrics_event(1, 1, loss=2.0)])
        add_dataset(s)
        jobs.succeed(s, done, distill_result(), [WEIGHTS])
        new = teacher_outputs.NewOutput("1" * 64, "a" * 64, "d" * 64, WEIGHTS.sha256, 3)
        teacher_outputs.save(s, TENANT, [new], [], 100)
        upload = uploads.create(s, parts, TENANT, size=3, sha256=None, filename=None)
        s.add(UploadPart(upload_id=upload.id, number=1, size=3, sha256="c" * 64))
        keys.create(s, TENANT, "key", ["read"])
        save(s, TENANT, "key", "f" * 64, status=201, location=None, body={})
        workers.record_heartbeat(s, "w", 1)
        reaper_status.record(s, every_s=5, took_s=0, reclaimed=0, blob_bytes=None)
    new_job(database)
    return claim.job_id


def dump(database: Database) -> Rows:
    """Every row of every table, as the database has it."""
    found = MetaData()
    with database.engine.connect() as connection:
        found.reflect(connection)
        return {
            table.name: sorted(
                (dict(row._mapping) for row in connection.execute(select(table))),
                key=lambda row: str([row[column.name] for column in table.primary_key]),
            )
            for table in found.sorted_tables
            if table.name != "alembic_version"
        }


def same(before: Rows, after: Rows) -> None:
    """What both have is the same."""
    for table in before.keys() & after.keys():
        assert len(before[table]) == len(after[table]), table
        for old, new in zip(before[table], after[table], strict=True):
            shared = old.keys() & new.keys()
            assert {k: old[k] for k in shared} == {k: new[k] for k in shared}, table


def test_rows_survive_every_migration_up_and_down(
    database: Database, parts: UploadParts, blobs: LocalBlobs, next_release: str
) -> None:
    job_id = fill(database, parts, blobs)
    filled = dump(database)
    assert {t.name for t in Table.metadata.sorted_tables} == filled.keys()
    assert all(filled.values()), "there are rows in every table"
    try:
        for revision in (next_release, "0001", next_release):
            before = dump(database)
            schema.migrate(database.engine, revision)
            after = dump(database)
            same(before, after)
            assert ("newer" in after["jobs"][0]) is (revision == next_release)
    finally:
        schema.migrate(database.engine, "0001")  # the database is shared
    with database.write() as s:
        assert jobs.reap(s).lapsed == [job_id]
        assert s.get_one(Job, job_id).failures == 1
    assert state_of(database, job_id) == "queued"


@pytest.mark.parametrize("older", ["0001", "0002"])
def test_a_job_left_running_by_another_release_goes_on_under_this_one(
    harness: WorkerHarness, older: str, next_scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other release's worker was killed: its job is left `running` in a schema of its own."""
    job_id = harness.job(steps=1)
    monkeypatch.setattr(schema, "SCRIPTS", next_scripts)
    schema.migrate(harness.database.engine, older)
    with harness.database.write() as s:
        jobs.claim(s, job_id, "other", lease_s=-1)
    ours = "0002" if older == "0001" else "0001"
    monkeypatch.setattr(schema, "HEAD", ours)
    with pytest.raises(SchemaMismatch, match=f"at schema {older}, "):
        open_database(harness.url)
    schema.migrate(harness.database.engine, ours)
    open_database(harness.url).dispose()
    with harness.database.write() as s:
        assert jobs.reap(s).lapsed == [job_id]
    with running(harness.dispatcher()):
        job = harness.wait_for(job_id, "succeeded", 60)
    assert (job.attempt, job.failures) == (2, 1)


def test_a_worker_goes_on_while_the_next_release_migrates_and_may_not_start_afterwards(
    pg_harness: WorkerHarness, next_scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations add what running programs need not know; programs that start must know it."""
    job_id = pg_harness.job(steps=100_000)
    with running(pg_harness.dispatcher()):
        wait_until(lambda: "student/loss" in pg_harness.get(job_id).latest, 60)
        with monkeypatch.context() as m:
            m.setattr(schema, "SCRIPTS", next_scripts)
            schema.migrate(pg_harness.database.engine, "0002")
        seen = pg_harness.get(job_id).latest["student/loss"]
        wait_until(lambda: pg_harness.get(job_id).latest["student/loss"] != seen, 60)
    job = pg_harness.get(job_id)
    assert (job.state, job.attempt, job.failures) == ("queued", 1, 0)
    back = "run a newer version, or go back with `python -m distillery.store migrate --to 0001`"
    with pytest.raises(SchemaMismatch, match=re.escape(back)):
        open_database(pg_harness.url)
    monkeypatch.setattr(schema, "SCRIPTS", next_scripts)
    schema.migrate(pg_harness.database.engine, "0001")
    open_database(pg_harness.url).dispose()
