"""Runs that wait for jobs: used once each, replaced when they die, gone with their worker."""

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
from tests.worker.conftest import ODD_RUN, WorkerHarness, wait_until

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
    """Runs of this process: their ids, and whether each was started to `run` or to `wait`."""
    found = {}
    for child in psutil.Process().children():
        try:
            line = child.cmdline()
        except psutil.NoSuchProcess:
            continue
        if ODD_RUN[-1] in line:
            found[child.pid] = "wait" if "wait" in line else "run"
    return found


def those_who_wait(harness: WorkerHarness) -> list[int]:
    """Ids of waiting runs once there is one, and nothing else."""
    wait_until(
        lambda: set(children().values()) == {"wait"} and warm_pool(harness) != [], PATIENCE_S
    )
    return list(children())


def warm_pool(harness: WorkerHarness) -> list[Path]:
    folder = harness.settings().warm_pool
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def pid_of(harness: WorkerHarness, job_id: str) -> int:
    """Of the run of the job's first attempt, once it works."""
    path = harness.home / "runs" / job_id / "1" / "pid"
    wait_until(lambda: path.exists() and path.read_text() != "", PATIENCE_S)
    return int(path.read_text())


def test_a_waiting_run_becomes_the_run_of_a_job_and_the_next_waits_after_it(
    harness: WorkerHarness,
) -> None:
    with started(harness.dispatcher(keep_runs=True, poll_s=60)) as dispatcher:
        [waiting] = those_who_wait(harness)
        [process] = warm_pool(harness)
        job_id = harness.job(steps=60)
        thread = threading.Thread(target=dispatcher.offer, args=(job_id,))
        thread.start()
        assert pid_of(harness, job_id) == waiting
        assert not process.exists(), "it is the run directory now"
        while harness.get(job_id).latest.get("student/loss", 1) > 1 / 50:
            assert list(children()) == [waiting], "nothing warms up beside a run"
        thread.join()
        assert harness.get(job_id).state == "succeeded"
        assert those_who_wait(harness) != [waiting]
        log = (harness.home / "runs" / job_id / "1/run.log").read_bytes()
        assert log.startswith(b"the last words"), "it starts with the run's own lines"


def test_every_slot_has_one_that_waits(harness: WorkerHarness) -> None:
    with started(harness.dispatcher(slots=3, poll_s=60)) as dispatcher:
        wait_until(lambda: list(children().values()) == ["wait"] * 3, PATIENCE_S)
        for _ in range(3):
            assert dispatcher.offer(harness.job())
        wait_until(lambda: list(children().values()) == ["wait"] * 3, PATIENCE_S)
        assert dispatcher.slots.free == 3


def test_one_that_dies_waiting_is_replaced(harness: WorkerHarness) -> None:
    with started(harness.dispatcher(poll_s=60)):
        [waiting] = those_who_wait(harness)
        [process] = warm_pool(harness)
        os.kill(waiting, signal.SIGKILL)
        wait_until(lambda: waiting not in children(), PATIENCE_S)
        assert those_who_wait(harness) != [waiting]
        wait_until(lambda: len(warm_pool(harness)) == 1 and warm_pool(harness) != [process])


def test_a_job_starts_cold_where_the_one_that_waited_has_just_died(harness: WorkerHarness) -> None:
    with started(harness.dispatcher(keep_runs=True, poll_s=60)) as dispatcher:
        [waiting] = those_who_wait(harness)
        os.kill(waiting, signal.SIGKILL)
        job_id = harness.job()
        assert dispatcher.offer(job_id)
        assert harness.get(job_id).state == "succeeded"
        assert harness.get(job_id).attempt == 1
        assert those_who_wait(harness) != [waiting]
        wait_until(lambda: len(warm_pool(harness)) == 1)


def test_nobody_waits_where_that_is_turned_off(harness: WorkerHarness) -> None:
    with started(harness.dispatcher(warm=False, keep_runs=True, poll_s=60)) as dispatcher:
        job_id = harness.job()
        assert dispatcher.offer(job_id)
        assert harness.get(job_id).state == "succeeded"
        assert children() == {} and warm_pool(harness) == []


@pytest.mark.parametrize("damaged", [False, True])
def test_stopping_leaves_no_process_and_no_room(harness: WorkerHarness, damaged: bool) -> None:
    """Also after a job whose directory could not be laid out, so that its run never began."""
    with started(harness.dispatcher(poll_s=60)) as dispatcher:
        those_who_wait(harness)
        job_id = harness.job(steps=1)
        if damaged:
            [blob] = harness.blobs.root.glob("??/??/*")
            blob.chmod(0o600)
            blob.write_bytes(b"{}")
        assert dispatcher.offer(job_id)
        assert (harness.get(job_id).state == "failed") == damaged
        those_who_wait(harness)
    assert children() == {}
    assert list(harness.settings().warm_pool.iterdir()) == []


def test_a_run_is_not_killed_by_the_end_of_those_who_wait(harness: WorkerHarness) -> None:
    """A stopped worker's run still gets to write its checkpoint."""
    with started(harness.dispatcher(slots=2)):
        wait_until(lambda: list(children().values()) == ["wait"] * 2, PATIENCE_S)
        job_id = harness.job(steps=600)
        wait_until(lambda: "student/loss" in harness.get(job_id).latest, PATIENCE_S)
    job = harness.get(job_id)
    assert (job.state, job.failures) == ("queued", 0)
    assert list((harness.home / "runs" / job_id / "1/checkpoints").iterdir())


def test_rooms_of_a_worker_that_is_gone_are_removed_and_no_others(tmp_path: Path) -> None:
    process = WarmProcess(tmp_path, ODD_RUN, DeviceSlot(None, 1))
    try:
        (tmp_path / "abandoned" / "tmp").mkdir(parents=True)
        (tmp_path / "abandoned.lock").touch()
        remove_abandoned(tmp_path)
        assert sorted(tmp_path.iterdir()) == [process.path, process.path.with_suffix(".lock")]
    finally:
        process.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_room_that_never_had_a_lock_goes_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        (path / "tmp").mkdir(parents=True)
    os.utime(old, (1, 1))
    remove_abandoned(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)
