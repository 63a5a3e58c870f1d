"""A backup of a running service; restored into another home, its jobs continue there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from distillery.store import jobs
from distillery.store.__main__ import main
from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.db.database import Database
from distillery.store.db.tables import Attempt, Event
from tests.worker.harness import TENANT, WorkerHarness
from tests.worker.programs import Programs


def run(home: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run `python -m distillery.store` on a home."""
    return subprocess.run(
        [sys.executable, "-m", "distillery.store", *map(str, arguments)],
        env=os.environ | {"KD_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_jobs_continue_in_another_home(
    harness: WorkerHarness,
    local: Programs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    local.start_jobs(POLL_S=0.2, LEASE_S=8)
    done, endless = harness.job(steps=2), harness.job(steps=100_000)
    harness.wait_for(done, "succeeded", 60)
    harness.wait_for(endless, "running", 60)
    made = run(harness.home, "backup", tmp_path / "backup")
    assert made.returncode == 0, made.stderr
    assert "backed up: the database at schema" in made.stdout
    assert harness.get(endless).state == "running"

    home = tmp_path / "new"
    restored = run(home, "restore", tmp_path / "backup")
    assert restored.returncode == 0, restored.stderr
    assert "every blob is in storage" in restored.stdout
    url = f"sqlite:///{home / 'distillery.sqlite'}"
    there = WorkerHarness(home, url, Database(url), LocalBlobs(home / "blobs"))
    assert there.get(done).state == "succeeded"
    assert there.get(endless).state == "queued"
    dispatcher = there.dispatcher(lease_s=60)
    dispatcher.start()
    try:
        job = there.wait_for(endless, "running", 60)
        assert job.attempt == 2
        with there.database.write() as s:
            jobs.request_cancel(s, TENANT, endless)
        there.wait_for(endless, "cancelled", 60)
    finally:
        dispatcher.stop()
        dispatcher.join()
    with there.database.read() as s:
        assert s.query(Attempt).filter_by(job_id=endless).count() == 2
        assert s.query(Event).filter_by(job_id=endless, attempt=2).count() > 0
    there.database.dispose()
    assert harness.get(endless).state in ("running", "queued")

    blob = next((home / "blobs").glob("??/??/*"))
    blob.unlink()
    monkeypatch.setenv("KD_HOME", str(home))
    assert main(["check", "--hashes"]) == 1
    assert f"blob {blob.name} is missing" in capsys.readouterr().err
    assert main(["restore", str(tmp_path / "backup")]) == 1
    assert "exists already" in capsys.readouterr().err
