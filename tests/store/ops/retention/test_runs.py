"""Run directories: those of jobs that are over go; of what may go on, not before its time."""

import os
from pathlib import Path

import pytest

from distillery.store.config import DAY_S, Retention
from distillery.store.db.database import Database, db_now
from distillery.store.db.tables import Job
from distillery.store.ops.retention import runs
from distillery.wire.states import State
from tests.store.makers import TENANT, new_job

KEEP = Retention()


def directory(
    database: Database, folder: Path, state: State, days: float, tenant: str = TENANT
) -> str:
    """The run directory of a job that has been in this state for this long."""
    job_id = new_job(database)
    with database.write() as s:
        job = s.get_one(Job, job_id)
        job.state, job.tenant = state, tenant
        job.lease_until = 1 if state is State.RUNNING else None
        job.updated_at = int(db_now(s) - days * DAY_S * 1000)
        if state not in (State.QUEUED, State.RUNNING, State.PAUSED):
            job.finished_at = job.updated_at
    checkpoints = folder / job_id / "1" / "checkpoints"
    checkpoints.mkdir(parents=True)
    (checkpoints / "state").write_bytes(b"12345")
    return job_id


def test_what_is_deleted_and_what_stays(database: Database, tmp_path: Path) -> None:
    going = [
        directory(database, tmp_path, state, days)
        for state, days in (
            (State.SUCCEEDED, 0),
            (State.CANCELLED, 0),
            (State.FAILED, 8),
            (State.PAUSED, 31),
        )
    ]
    staying = [
        directory(database, tmp_path, state, days)
        for state, days in (
            (State.QUEUED, 100),
            (State.RUNNING, 100),
            (State.FAILED, 6),
            (State.PAUSED, 29),
        )
    ]
    for name in ("job_unknown", "job_new", "lost+found", ".warm"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "job_unknown", (1, 1))
    with database.read() as s:
        usage = runs.count(s, tmp_path, KEEP, None)
    assert (usage.count, usage.size) == (5, 5 * len(going))
    assert runs.collect(database, tmp_path, KEEP, None) == usage
    left = {path.name for path in tmp_path.iterdir()} - {"distillery.sqlite"}
    assert left == {*staying, "job_new", "lost+found", ".warm"}


def test_only_ones_own(database: Database, tmp_path: Path) -> None:
    mine = directory(database, tmp_path, State.CANCELLED, 1, tenant="other")
    theirs = directory(database, tmp_path, State.CANCELLED, 1)
    assert runs.collect(database, tmp_path, KEEP, "other").count == 1
    assert not (tmp_path / mine).exists() and (tmp_path / theirs).exists()


def test_all_are_kept_for_looking_into(database: Database, tmp_path: Path) -> None:
    job_id = directory(database, tmp_path, State.CANCELLED, 1)
    assert runs.collect(database, tmp_path, Retention(keep_runs=True), None).count == 0
    assert (tmp_path / job_id).exists()


def test_a_half_removed_directory_is_removed_next_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = directory(database, tmp_path, State.CANCELLED, 1)
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_, **__: None)  # killed before
        runs.collect(database, tmp_path, KEEP, None)
    assert not (tmp_path / job_id).exists()
    assert any(tmp_path.glob(".deleting-*"))
    runs.collect(database, tmp_path, KEEP, None)
    assert not any(tmp_path.glob(".deleting-*"))
