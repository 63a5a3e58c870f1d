"""A full disk under run directories, blobs or the database."""

import hashlib
import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psycopg
import pytest

from distillery.sdk.errors import ApiError
from distillery.wire.jobs import Job
from tests.conftest import fast_folder
from tests.e2e.service import wait_until
from tests.faults.fault import fault
from tests.faults.front import PATIENT, continues, refuses_clearly, running, url_of
from tests.faults.scenario import FaultScenario
from tests.faults.servers import Postgres, postgres

FULL = (503, 507)
NO_MARK = {"KD_MIN_FREE_BYTES": "0"}  # turns off the check that keeps a disk from filling up
MOUNT = ("mount", "-t", "tmpfs", "-o", "size={size}", "tmpfs", "{folder}")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small tmpfs for the block. Raises PermissionError if mounting is not allowed."""
    folder.mkdir()
    command = [part.format(size=size, folder=folder) for part in MOUNT]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise PermissionError(f"cannot mount a small disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a process that is about to exit may still have a file open.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def skip_without_mount(tmp_path: Path) -> None:
    """Skip the test if mounting is not allowed."""
    try:
        with small_disk(tmp_path / "probe", "1m"):
            return
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"a full disk needs CAP_SYS_ADMIN: {error}")


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill the disk to the last byte while the block lasts."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        try:
            while True:
                os.write(file.fileno(), bytes(1 << 16))
        except OSError:
            pass
        try:
            while True:
                os.write(file.fileno(), b"\0")
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()


@fault("F13", "disk full under run directories", alone=True)
def disk_full_runs(scenario: FaultScenario, draw: Random) -> str:
    """Checkpoints cannot be written; earlier ones stay intact, and the job resumes from them."""
    disk = scenario.keep(small_disk(scenario.folder / "disk", "64m"))
    scenario.open(KD_RUN_DIR=str(disk), **NO_MARK)
    runs = disk
    with running(scenario) as job:
        wait_until(lambda: _intact(runs, job), 60, "a checkpoint")
        with full(disk):
            reason = _attempt_ends(scenario, job)
            assert "no_space" in reason or "disk" in reason, reason
            assert _intact(runs, job), "the earlier checkpoint is intact"
            _api_lives(scenario)
        continues(scenario, job, 120)
        assert scenario.client.jobs.get(job.id).attempt >= 2
    return reason.splitlines()[0]


@fault("F13", "disk full under blobs", alone=True, standin=True)
def disk_full_blobs(scenario: FaultScenario, draw: Random) -> str:
    """Uploads are refused and results are retried; no incomplete file is left."""
    disk = scenario.keep(small_disk(scenario.folder / "disk", "16m"))
    scenario.open(KD_BLOB_URL=f"file://{disk}", **NO_MARK)
    file = scenario.folder / "upload.bin"
    file.write_bytes(draw.randbytes(1 << 20))
    with full(disk):
        job = scenario.submit()
        reason = _attempt_ends(scenario, job)
        assert "no_space" in reason, reason
        with pytest.raises(ApiError) as refused:
            scenario.client.uploads.send(file)
        assert refused.value.problem.status in FULL and refused.value.problem.code == "no_space"
        assert not list((disk / "incoming").iterdir()), "no incomplete file is left"
        hashes_match(disk)
        assert not scenario.client.jobs.get(job.id).artifacts(), "no artifact is listed"
        _api_lives(scenario)
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    assert scenario.client.uploads.send(file).state == "complete"
    hashes_match(disk)
    return reason.splitlines()[0]


@fault("F13", "disk full under SQLite", places=("embedded",), alone=True, standin=True)
def disk_full_database(scenario: FaultScenario, draw: Random) -> str:
    """No row can be written: writes are refused and reads work, until there is space."""
    disk = scenario.keep(small_disk(scenario.folder / "disk", "16m"))
    scenario.open(KD_DATABASE_URL=f"sqlite:///{disk / 'distillery.sqlite'}", **NO_MARK, **PATIENT)
    return _full_under_rows(scenario, disk)


@fault("F13", "disk full under PostgreSQL", places=("servers",), alone=True, standin=True)
def disk_full_postgres(scenario: FaultScenario, draw: Random) -> str:
    """No row can be written: writes are refused and reads work, until there is space."""
    disk, server = _postgres_on_a_small_disk(scenario)
    return _full_under_rows(scenario, disk, server.start)  # it may have panicked


def _full_under_rows(
    scenario: FaultScenario, disk: Path, start: Callable[[], object] = lambda: None
) -> str:
    """The same for both databases; `start` restarts the database once there is space."""
    with running(scenario) as job:
        with full(disk):
            status = _refused(scenario)
            _api_lives(scenario)
        start()
        continues(scenario, job)
    ended = scenario.finish(scenario.submit())
    assert ended.state == "succeeded", ended.error
    return f"refused with {status}"


@fault(
    "F13",
    "disk full under PostgreSQL's write-ahead log",
    places=("servers",),
    alone=True,
    standin=True,
)
def disk_full_write_ahead_log(scenario: FaultScenario, draw: Random) -> str:
    """The server panics and stays down until there is space and it is restarted."""
    disk, server = _postgres_on_a_small_disk(scenario)
    with running(scenario) as job:
        with full(disk):
            wait_until(lambda: not _takes_log(server), 60, "the server panics")
            refuses_clearly(url_of(scenario))
            assert all(scenario.service.poll(name) is None for name in ("api", "jobs", "reaper"))
        server.start()
        wait_until(lambda: scenario.client.ready().ok, 60, "the API is ready again")
        continues(scenario, job)
    ended = scenario.finish(scenario.submit())
    assert ended.state == "succeeded", ended.error
    return "down until there was space"


def _postgres_on_a_small_disk(scenario: FaultScenario) -> tuple[Path, Postgres]:
    """Open the scenario with a server on a small disk of its own; returns both."""
    folder = fast_folder() / f"kd-disk-{secrets.token_hex(8)}"  # readable for postgres' user
    disk = scenario.keep(small_disk(folder, "192m"))
    server = scenario.keep(postgres(disk))
    scenario.open(KD_DATABASE_URL=server.url, **NO_MARK, **PATIENT)
    return disk, server


def _takes_log(server: Postgres) -> bool:
    """Whether the server can write another file of its write-ahead log."""
    try:
        with psycopg.connect(server.url, autocommit=True, connect_timeout=5) as connection:
            connection.execute("SELECT pg_logical_emit_message(false, 'full', repeat('x', 65536))")
            connection.execute("SELECT pg_switch_wal()")
    except psycopg.OperationalError:
        return False
    return True


def _refused(scenario: FaultScenario) -> int:
    """Submit jobs until the database is full; returns the HTTP status."""
    status = 0

    def refuses() -> bool:
        nonlocal status
        try:
            scenario.client.jobs.get(scenario.submit().id).cancel()
        except ApiError as error:
            assert error.problem.code == "no_space", error.problem
            status = error.problem.status
        return status in FULL

    wait_until(refuses, 60, "the full disk is reported")
    return status


def _attempt_ends(scenario: FaultScenario, job: Job) -> str:
    """Wait for the end of an attempt; returns the reason."""

    def reasons() -> list[str]:
        moves = scenario.client.jobs.get(job.id).transitions()
        return [m.message or "" for m in moves if m.source == "running"]

    wait_until(reasons, 120, "an attempt ends")
    return reasons()[0]


def _api_lives(scenario: FaultScenario) -> None:
    # Its storage may be down, but it answers and its database works.
    assert scenario.client.health().components["database"] == "ok"
    assert all(scenario.service.poll(name) is None for name in ("api", "jobs", "reaper"))


def _intact(runs: Path, job: Job) -> list[Path]:
    """The job's checkpoints, each with the hashes of its manifest."""
    found = [path for path in (runs / job.id).glob("*/checkpoints/[0-9]*") if path.is_dir()]
    intact = []
    for path in found:
        try:
            files = json.loads((path / "manifest.json").read_bytes())["files"]
            read = {name: (path / name).read_bytes() for name in files}
        except FileNotFoundError:
            continue  # a newer one has replaced it
        for name, data in read.items():
            assert hashlib.sha256(data).hexdigest() == files[name]["sha256"], path / name
        intact.append(path)
    return intact


def hashes_match(blobs: Path) -> None:
    for path in blobs.glob("??/??/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, path
