"""A disk that is full: under run directories, under blobs, under the database."""

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
from tests.faults.front import PATIENT, goes_on, refuses_clearly, running, url_of
from tests.faults.scenario import FaultScenario
from tests.faults.servers import Postgres, postgres

FULL = (503, 507)
NO_MARK = {"KD_MIN_FREE_BYTES": "0"}  # the marks that keep a disk from running full are off
MOUNT = ("mount", "-t", "tmpfs", "-o", "size={size}", "tmpfs", "{folder}")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of so few bytes. Raises PermissionError where mounting is not allowed."""
    folder.mkdir()
    command = [part.format(size=size, folder=folder) for part in MOUNT]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        raise PermissionError(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a process that is on its way out may still hold a file.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def skip_without_mount(tmp_path: Path) -> None:
    """Skip the test, saying why, where mounting is not allowed."""
    try:
        with small_disk(tmp_path / "probe", "1m"):
            return
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"the full disk needs CAP_SYS_ADMIN: {error}")


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """The disk without a free byte while the block lasts."""
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
    """Checkpoints cannot be written: the ones before stay whole, and the job goes on from them."""
    disk = scenario.keep(small_disk(scenario.folder / "disk", "64m"))
    scenario.open(KD_RUN_DIR=str(disk), **NO_MARK)
    runs = disk
    with running(scenario) as job:
        wait_until(lambda: _whole(runs, job), 60, "a checkpoint")
        with full(disk):
            said = _attempt_ends(scenario, job)
            assert "no_space" in said or "disk" in said, said
            assert _whole(runs, job), "the checkpoint before is intact"
            _api_lives(scenario)
        goes_on(scenario, job, 120)
        assert scenario.client.jobs.get(job.id).attempt >= 2
    return said.splitlines()[0]


@fault("F13", "disk full under blobs", alone=True, standin=True)
def disk_full_blobs(scenario: FaultScenario, draw: Random) -> str:
    """Neither uploads nor results can be kept: refused, tried again, nothing half-written."""
    disk = scenario.keep(small_disk(scenario.folder / "disk", "16m"))
    scenario.open(KD_BLOB_URL=f"file://{disk}", **NO_MARK)
    file = scenario.folder / "upload.bin"
    file.write_bytes(draw.randbytes(1 << 20))
    with full(disk):
        job = scenario.submit()
        said = _attempt_ends(scenario, job)
        assert "no_space" in said, said
        with pytest.raises(ApiError) as refused:
            scenario.client.uploads.send(file)
        assert refused.value.problem.status in FULL and refused.value.problem.code == "no_space"
        assert not list((disk / "incoming").iterdir()), "nothing half-written stays"
        _hashes_fit(disk)
        assert not scenario.client.jobs.artifacts(job.id), "nothing is listed"
        _api_lives(scenario)
    ended = scenario.finish(job)
    assert ended.state == "succeeded", ended.error
    assert scenario.client.uploads.send(file).state == "complete"
    _hashes_fit(disk)
    return said.splitlines()[0]


@fault("F13", "disk full under SQLite", places=("embedded",), alone=True, standin=True)
def disk_full_database(scenario: FaultScenario, draw: Random) -> str:
    """No row can be written: refused, while what is there can be read; then all goes on."""
    disk = scenario.keep(small_disk(scenario.folder / "disk", "16m"))
    scenario.open(KD_DATABASE_URL=f"sqlite:///{disk / 'distillery.sqlite'}", **NO_MARK, **PATIENT)
    return _full_under_rows(scenario, disk)


@fault("F13", "disk full under PostgreSQL", places=("servers",), alone=True, standin=True)
def disk_full_postgres(scenario: FaultScenario, draw: Random) -> str:
    """No row finds a page: refused, while what is there can be read; then all goes on."""
    disk, server = _postgres_on_a_small_disk(scenario)
    return _full_under_rows(scenario, disk, server.start)  # it may have panicked


def _full_under_rows(
    scenario: FaultScenario, disk: Path, start: Callable[[], object] = lambda: None
) -> str:
    """What the two databases have in common; `start` the database once there is room."""
    with running(scenario) as job:
        with full(disk):
            refused = _refused(scenario)
            _api_lives(scenario)
        start()
        goes_on(scenario, job)
    ended = scenario.finish(scenario.submit())
    assert ended.state == "succeeded", ended.error
    return f"refused with {refused}"


@fault(
    "F13",
    "disk full under PostgreSQL's write-ahead log",
    places=("servers",),
    alone=True,
    standin=True,
)
def disk_full_write_ahead_log(scenario: FaultScenario, draw: Random) -> str:
    """The server panics and cannot come back by itself: as one that is down, until there is room
    and somebody has started it."""
    disk, server = _postgres_on_a_small_disk(scenario)
    with running(scenario) as job:
        with full(disk):
            wait_until(lambda: not _takes_log(server), 60, "the server panics")
            refuses_clearly(url_of(scenario))
            assert all(scenario.service.poll(name) is None for name in ("api", "jobs", "reaper"))
        server.start()
        wait_until(lambda: scenario.client.ready().ok, 60, "the API is ready again")
        goes_on(scenario, job)
    ended = scenario.finish(scenario.submit())
    assert ended.state == "succeeded", ended.error
    return "down until there is room"


def _postgres_on_a_small_disk(scenario: FaultScenario) -> tuple[Path, Postgres]:
    """The scene, opened on a server of its own, and the disk that this one has to itself."""
    folder = fast_folder() / f"kd-disk-{secrets.token_hex(8)}"  # its user may not enter the scene's
    disk = scenario.keep(small_disk(folder, "192m"))
    server = scenario.keep(postgres(disk))
    scenario.open(KD_DATABASE_URL=server.url, **NO_MARK, **PATIENT)
    return disk, server


def _takes_log(server: Postgres) -> bool:
    """Whether the server begins one more file of its log."""
    try:
        with psycopg.connect(server.url, autocommit=True, connect_timeout=5) as connection:
            connection.execute("SELECT pg_logical_emit_message(false, 'full', repeat('x', 65536))")
            connection.execute("SELECT pg_switch_wal()")
    except psycopg.OperationalError:
        return False
    return True


def _refused(scenario: FaultScenario) -> int:
    """Submit until the database takes no more; the status."""
    status = 0

    def refuses() -> bool:
        nonlocal status
        try:
            scenario.client.jobs.cancel(scenario.submit().id)
        except ApiError as error:
            assert error.problem.code == "no_space", error.problem
            status = error.problem.status
        return status in FULL

    wait_until(refuses, 60, "the full disk is told")
    return status


def _attempt_ends(scenario: FaultScenario, job: Job) -> str:
    """Why an attempt at the job ended, once one has."""

    def reasons() -> list[str]:
        moves = scenario.client.jobs.transitions(job.id)
        return [m.message or "" for m in moves if m.source == "running"]

    wait_until(reasons, 120, "an attempt ends")
    return reasons()[0]


def _api_lives(scenario: FaultScenario) -> None:
    # Of the storage it may say that nothing can be kept; it answers, and has its database.
    assert scenario.client.health().components["database"] == "ok"
    assert all(scenario.service.poll(name) is None for name in ("api", "jobs", "reaper"))


def _whole(runs: Path, job: Job) -> list[Path]:
    """The job's checkpoints, each of which has the hashes that its manifest says."""
    found = [path for path in (runs / job.id).glob("*/checkpoints/[0-9]*") if path.is_dir()]
    whole = []
    for path in found:
        try:
            files = json.loads((path / "manifest.json").read_bytes())["files"]
            read = {name: (path / name).read_bytes() for name in files}
        except FileNotFoundError:
            continue  # a newer one has taken its place
        for name, data in read.items():
            assert hashlib.sha256(data).hexdigest() == files[name]["sha256"], path / name
        whole.append(path)
    return whole


def _hashes_fit(blobs: Path) -> None:
    for path in blobs.glob("??/??/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, path
