"""Unreferenced blobs are deleted, safely beside writers of the same bytes."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from distillery.store.blobs import blobs as rows
from distillery.store.blobs.blobs import LocalBlobs, Stored
from distillery.store.db.database import Database
from distillery.store.db.tables import Artifact, Blob, Dataset, Upload, blob_references
from distillery.store.ops.retention import Collector
from distillery.store.ops.retention.blobs import (
    delete_rows,
    discard_orphans,
    unreferenced,
)
from tests.store.makers import SHA, TENANT, add_dataset

HOUR_S = 3600.0


def old(collector: Collector, content: bytes, *, row: bool = True) -> Stored:
    """A blob from long ago."""
    assert isinstance(collector.blobs, LocalBlobs)
    stored = collector.blobs.put_stream([content])
    if row:
        with collector.database.write() as s:
            rows.record(s, stored)
            s.execute(update(Blob).where(Blob.sha256 == stored.sha256).values(created_at=1))
    age(collector.blobs, stored.sha256)
    return stored


def age(blobs: LocalBlobs, sha256: str) -> None:
    path = blobs.path_of(sha256)
    if path is not None:  # a collector may have been here
        with suppress(FileNotFoundError):
            os.utime(path, (1, 1))


def use(database: Database, stored: Stored) -> str:
    """A dataset of these bytes."""
    with database.write() as s:
        dataset = add_dataset(s)
        rows.record(s, stored)
        dataset.blob = stored.sha256
        return dataset.id


def drop(s: Session) -> list[Stored]:
    """Delete unreferenced rows; return those deleted."""
    candidates, _ = unreferenced(s, HOUR_S, "")
    return delete_rows(s, candidates, HOUR_S)


def kept(database: Database) -> set[str]:
    with database.read() as s:
        return set(s.scalars(select(Blob.sha256)))


def test_every_column_that_refers_to_a_blob_is_known() -> None:
    named = {f"{column.table.name}.{column.name}" for column in blob_references()}
    assert {"uploads.blob", "models.blob", "datasets.blob"} < named
    assert {"artifacts.sha256", "teacher_outputs.blob"} < named
    assert Artifact.__table__.c.sha256 is not None and Upload.__table__.c.blob is not None


def test_unreferenced_blobs_are_deleted_and_the_rest_stays(collector: Collector) -> None:
    blobs, database = collector.blobs, collector.database
    used, unused, orphan = (
        old(collector, b"a"),
        old(collector, b"bb"),
        old(collector, b"c", row=False),
    )
    use(database, used)
    age(blobs, used.sha256)  # type: ignore[arg-type]
    young = blobs.put_stream([b"just being brought in"])
    [count] = [usage for usage in collector.count() if usage.kind == "blobs"]
    assert (count.count, count.size) == (2, 3)
    gone, complete = collector.collect(None, 60)
    assert [(usage.count, usage.size) for usage in gone if usage.kind == "blobs"] == [(2, 3)]
    assert complete
    assert blobs.exists(used.sha256) and blobs.exists(young.sha256)
    assert not blobs.exists(unused.sha256) and not blobs.exists(orphan.sha256)
    assert unused.sha256 not in kept(database)


def test_of_one_tenant_no_bytes_are_collected(collector: Collector) -> None:
    unused = old(collector, b"bb")
    assert "blobs" not in {usage.kind for usage in collector.count(TENANT)}
    collector.collect(TENANT, 60)
    assert collector.blobs.exists(unused.sha256)


def test_of_another_database_no_bytes_are_touched(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is started with a new database beside existing blobs."""
    monkeypatch.setattr("distillery.store.ops.retention.blobs.FEW_ORPHANS", 2)
    stored = [old(collector, bytes([n]), row=False) for n in range(3)]
    assert discard_orphans(collector.database, collector.blobs, HOUR_S).count == 0
    assert all(collector.blobs.exists(blob.sha256) for blob in stored)


def test_blobs_are_scanned_only_every_so_often(collector: Collector) -> None:
    often = replace(collector, scan_every_s=HOUR_S)
    often.collect(None, 60)
    unused = old(collector, b"bb")
    often.collect(None, 60)
    assert collector.blobs.exists(unused.sha256)
    collector.collect(None, 60)
    assert not collector.blobs.exists(unused.sha256)


def test_bytes_that_come_again_after_their_row_has_gone_stay(collector: Collector) -> None:
    """The collector has deleted the row; before it discards the file, a writer stores it again."""
    unused = old(collector, b"bb")
    with collector.database.write() as s:
        assert drop(s) == [unused]
    again = collector.blobs.put_stream([b"bb"])
    assert not collector.blobs.discard(unused.sha256, HOUR_S)
    use(collector.database, again)
    assert collector.blobs.exists(again.sha256) and again.sha256 in kept(collector.database)


def test_a_row_that_is_being_referenced_stays(collector: Collector) -> None:
    """Another's transaction has noted an old blob, and names it while the collector is at it."""
    unused = old(collector, b"bb")

    def collect() -> list[Stored]:
        with collector.database.write() as s:
            return drop(s)

    with ThreadPoolExecutor(1) as pool:
        with collector.database.write() as s:
            dataset = add_dataset(s)
            rows.record(s, unused)
            going = pool.submit(collect)
            wait([going], timeout=0.3)  # it waits for us, or passes by; sound in any case
            dataset.blob = unused.sha256
        assert going.result(60) == []
    assert unused.sha256 in kept(collector.database)


def test_a_row_that_is_just_going_is_made_again(collector: Collector) -> None:
    """Another names an old blob after the collector has deleted its row, not yet committed."""
    unused = old(collector, b"bb")
    with ThreadPoolExecutor(1) as pool:
        with collector.database.write() as s:
            assert drop(s) == [unused]
            bringing = pool.submit(use, collector.database, unused)
            time.sleep(0.3)  # it comes to wait for us; sound in any case
        bringing.result(60)
    assert unused.sha256 in kept(collector.database)


def test_writers_and_collectors_of_the_same_bytes_at_once(collector: Collector) -> None:
    """Whatever the interleaving: what a committed row names is there."""
    database, blobs = collector.database, collector.blobs
    assert isinstance(blobs, LocalBlobs)
    contents = [bytes([n]) * 10 for n in range(3)]
    bringing = threading.Lock()  # time does not pass between putting bytes and naming them

    def bring(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(10):
            with bringing:
                dataset = use(database, blobs.put_stream([dice.choice(contents)]))
            with bringing, database.write() as s:  # it is deleted, and a day goes by
                s.delete(s.get_one(Dataset, dataset))
                s.execute(update(Blob).values(created_at=1))
                for stored in list(blobs.aged(-60)):
                    age(blobs, stored.sha256)
            with bringing:
                use(database, blobs.put_stream([dice.choice(contents)]))

    def collect(_: int) -> None:
        for _ in range(15):
            collector.collect(None, 60)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(do, n) for do, n in ((bring, 1), (bring, 2), (collect, 0))]:
            done.result(120)
    with database.read() as s:
        named = set(s.scalars(select(Dataset.blob))) - {SHA}
    assert named and all(blobs.exists(sha256) for sha256 in named)
