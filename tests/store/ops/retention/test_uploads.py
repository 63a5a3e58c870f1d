"""Uploads: closed ones go after their time, and parts that a crash left."""

import os

from sqlalchemy import update

from distillery.store.catalog import uploads
from distillery.store.config import DAY_S
from distillery.store.db.database import db_now
from distillery.store.db.tables import Upload
from distillery.store.ops.retention import Collector
from distillery.store.ops.retention.usage import Usage
from tests.store.makers import TENANT


def usage(collector: Collector) -> Usage:
    [one] = [each for each in collector.count() if each.kind == "uploads"]
    return one


def test_closed_uploads_go_a_while_after_their_end(collector: Collector) -> None:
    with collector.database.write() as s:
        made = [
            uploads.create(s, collector.parts, TENANT, size=5, sha256=None, filename=None).id
            for _ in range(4)
        ]
        for upload_id, state, days in zip(
            made, ("complete", "aborted", "complete", "open"), (31, 31, 29, 6), strict=True
        ):
            expires_at = db_now(s) + int((uploads.LIFETIME_S - days * DAY_S) * 1000)
            values = {"state": state, "expires_at": expires_at}
            s.execute(update(Upload).where(Upload.id == upload_id).values(**values))
    assert usage(collector).count == 2
    gone, _ = collector.collect(None, 60)
    assert [each.count for each in gone if each.kind == "uploads"] == [2]
    with collector.database.read() as s:
        assert {row.id for row in s.query(Upload)} == set(made[2:])


def test_parts_of_uploads_that_are_over_go(collector: Collector) -> None:
    parts = collector.parts
    with collector.database.write() as s:
        upload = uploads.create(s, parts, TENANT, size=5, sha256=None, filename=None)
    for name in (upload.id, "upl_forgotten", "upl_new"):
        (parts.root / name).mkdir(parents=True)
        (parts.root / name / "1.part").write_bytes(b"12345")
        if name != "upl_new":
            os.utime(parts.root / name, (1, 1))
    assert (usage(collector).count, usage(collector).size) == (1, 5)
    collector.collect(None, 60)
    assert {path.name for path in parts.root.iterdir()} == {upload.id, "upl_new"}
