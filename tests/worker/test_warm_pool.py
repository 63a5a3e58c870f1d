"""Warm processes: used once each, replaced when they die, killed with their worker."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from distillery.worker.device import DeviceSlot
from distillery.worker.dispatcher import Dispatcher
from distillery.worker.warm_pool import WarmProcess, remove_abandoned
from tests.worker.harness import ODD_RUN, WorkerHarness, wait_until

PATIENCE_S = 60.0


@contextmanager
def started(dispatcher: Dispatcher) -> Iterator[Dispatcher]:
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        dispatcher.stop()
        dispatcher.join()


def children() -> dict[int, str]:
    """The runs of this process by id, and whether each was started to `run` or to `warm`."""
    found = {}
    for child in psutil.Process().children():
        try:
            line = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if ODD_RUN[-1] in line:
            found[child.pid] = "warm" if "warm" in line else "run"
    return found


def warm_runs(harness: WorkerHarness) -> list[int]:
    """Wait until warm runs are the only children; returns their ids."""
    wait_until(
        lambda: set(children().values()) == {"warm"} and warm_dirs(harness) != [], PATIENCE_S
    )
    return list(children())


def warm_dirs(harness: WorkerHarness) -> list[Path]:
    folder = harness.settings().warm_pool
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def pid_of(harness: WorkerHarness, job_id: str) -> int:
    """Wait for the run of the job's first attempt; returns its id."""
    path = harness.home / "runs" / job_id / "1" / "pid"
    wait_until(lambda: path.exists() and path.read_text() != "", PATIENCE_S)
    return int(path.read_text())


def test_a_warm_run_becomes_the_run_of_a_job_and_is_replaced_after_it(
    harness: WorkerHarness,
) -> None:
    with started(harness.dispatcher(keep_runs=True, poll_s=60)) as dispatcher:
        [warm] = warm_runs(harness)
        [process] = warm_dirs(harness)
        job_id = harness.job(steps=60)
        thread = threading.Thread(target=dispatcher.offer, args=(job_id,))
        thread.start()
        assert pid_of(harness, job_id) == warm
        assert not process.exists(), "it is the run directory now"
        while harness.get(job_id).latest.get("student/loss", 1) > 1 / 50:
            assert list(children()) == [warm], "no run warms up beside a running job"
        thread.join()
        assert harness.get(job_id).state == "succeeded"
        assert warm_runs(harness) != [warm]
        log = (harness.home / "runs" / job_id / "1/run.log").read_bytes()
        assert log.startswith(b"the last line"), "it starts with the run's own lines"


def test_every_free_slot_has_a_warm_run(harness: WorkerHarness) -> None:
    with started(harness.dispatcher(slots=3, poll_s=60)) as dispatcher:
        wait_until(lambda: list(children().values()) == ["warm"] * 3, PATIENCE_S)
        for _ in range(3):
            assert dispatcher.offer(harness.job())
        wait_until(lambda: list(children().values()) == ["warm"] * 3, PATIENCE_S)
        assert dispatcher.slots.free == 3


def test_a_warm_run_that_dies_is_replaced(harness: WorkerHarness) -> None:
    with started(harness.dispatcher(poll_s=60)):
        [warm] = warm_runs(harness)
        [process] = warm_dirs(harness)
        os.kill(warm, signal.SIGKILL)
        wait_until(lambda: warm not in children(), PATIENCE_S)
        assert warm_runs(harness) != [warm]
        wait_until(lambda: len(warm_dirs(harness)) == 1 and warm_dirs(harness) != [process])


def test_a_job_starts_cold_if_the_warm_run_has_just_died(harness: WorkerHarness) -> None:
    with started(harness.dispatcher(keep_runs=True, poll_s=60)) as dispatcher:
        [warm] = warm_runs(harness)
        os.kill(warm, signal.SIGKILL)
        job_id = harness.job()
        assert dispatcher.offer(job_id)
        assert harness.get(job_id).state == "succeeded"
        assert harness.get(job_id).attempt == 1
        assert warm_runs(harness) != [warm]
        wait_until(lambda: len(warm_dirs(harness)) == 1)


def test_the_warm_pool_can_be_turned_off(harness: WorkerHarness) -> None:
    with started(harness.dispatcher(warm=False, keep_runs=True, poll_s=60)) as dispatcher:
        job_id = harness.job()
        assert dispatcher.offer(job_id)
        assert harness.get(job_id).state == "succeeded"
        assert children() == {} and warm_dirs(harness) == []


@pytest.mark.parametrize("damaged", [False, True])
def test_stopping_leaves_no_process_and_no_directory(harness: WorkerHarness, damaged: bool) -> None:
    """Also after a job whose directory could not be laid out, so that its run never started."""
    with started(harness.dispatcher(poll_s=60)) as dispatcher:
        warm_runs(harness)
        job_id = harness.job(steps=1)
        if damaged:
            [blob] = harness.blobs.root.glob("??/??/*")
            blob.chmod(0o600)
            blob.write_bytes(b"{}")
        assert dispatcher.offer(job_id)
        assert (harness.get(job_id).state == "failed") == damaged
        warm_runs(harness)
    assert children() == {}
    assert list(harness.settings().warm_pool.iterdir()) == []


def test_a_stopped_workers_run_can_checkpoint(harness: WorkerHarness) -> None:
    """The end of the warm pool does not kill it."""
    with started(harness.dispatcher(slots=2)):
        wait_until(lambda: list(children().values()) == ["warm"] * 2, PATIENCE_S)
        job_id = harness.job(steps=600)
        wait_until(lambda: "student/loss" in harness.get(job_id).latest, PATIENCE_S)
    job = harness.get(job_id)
    assert (job.state, job.failures) == ("queued", 0)
    assert list((harness.home / "runs" / job_id / "1/checkpoints").iterdir())


def test_only_directories_of_dead_workers_are_deleted(tmp_path: Path) -> None:
    process = WarmProcess(tmp_path, ODD_RUN, DeviceSlot(None, 1))
    try:
        (tmp_path / "abandoned" / "tmp").mkdir(parents=True)
        (tmp_path / "abandoned.lock").touch()
        remove_abandoned(tmp_path)
        assert sorted(tmp_path.iterdir()) == [process.path, process.path.with_suffix(".lock")]
    finally:
        process.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_without_a_lock_is_deleted_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        (path / "tmp").mkdir(parents=True)
    os.utime(old, (1, 1))
    remove_abandoned(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)
