"""Runs that wait for jobs: used once each, replaced when they die, gone with their worker."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from distillery.worker.device import Slot
from distillery.worker.dispatcher import Floor
from distillery.worker.warm_pool import Room, remove_abandoned
from tests.worker.conftest import ODD_RUN, Shop, wait_until

PATIENCE_S = 60.0


@contextmanager
def started(floor: Floor) -> Iterator[Floor]:
    floor.start()
    try:
        yield floor
    finally:
        floor.stop()
        floor.join()


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


def those_who_wait(shop: Shop) -> list[int]:
    """Ids of waiting runs once there is one, and nothing else."""
    wait_until(lambda: set(children().values()) == {"wait"} and rooms(shop) != [], PATIENCE_S)
    return list(children())


def rooms(shop: Shop) -> list[Path]:
    folder = shop.settings().rooms
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def pid_of(shop: Shop, job_id: str) -> int:
    """Of the run of the job's first attempt, once it works."""
    path = shop.home / "runs" / job_id / "1" / "pid"
    wait_until(lambda: path.exists() and path.read_text() != "", PATIENCE_S)
    return int(path.read_text())


def test_a_waiting_run_becomes_the_run_of_a_job_and_the_next_waits_after_it(shop: Shop) -> None:
    with started(shop.floor(keep_runs=True, poll_s=60)) as floor:
        [waiting] = those_who_wait(shop)
        [room] = rooms(shop)
        job_id = shop.job(steps=60)
        thread = threading.Thread(target=floor.offer, args=(job_id,))
        thread.start()
        assert pid_of(shop, job_id) == waiting
        assert not room.exists(), "it is the run directory now"
        while shop.get(job_id).latest.get("student/loss", 1) > 1 / 50:
            assert list(children()) == [waiting], "nothing warms up beside a run"
        thread.join()
        assert shop.get(job_id).state == "succeeded"
        assert those_who_wait(shop) != [waiting]
        log = (shop.home / "runs" / job_id / "1/run.log").read_bytes()
        assert log.startswith(b"the last words"), "it starts with the run's own lines"


def test_every_slot_has_one_that_waits(shop: Shop) -> None:
    with started(shop.floor(slots=3, poll_s=60)) as floor:
        wait_until(lambda: list(children().values()) == ["wait"] * 3, PATIENCE_S)
        for _ in range(3):
            assert floor.offer(shop.job())
        wait_until(lambda: list(children().values()) == ["wait"] * 3, PATIENCE_S)
        assert floor.slots.free == 3


def test_one_that_dies_waiting_is_replaced(shop: Shop) -> None:
    with started(shop.floor(poll_s=60)):
        [waiting] = those_who_wait(shop)
        [room] = rooms(shop)
        os.kill(waiting, signal.SIGKILL)
        wait_until(lambda: waiting not in children(), PATIENCE_S)
        assert those_who_wait(shop) != [waiting]
        wait_until(lambda: len(rooms(shop)) == 1 and rooms(shop) != [room])


def test_a_job_starts_cold_where_the_one_that_waited_has_just_died(shop: Shop) -> None:
    with started(shop.floor(keep_runs=True, poll_s=60)) as floor:
        [waiting] = those_who_wait(shop)
        os.kill(waiting, signal.SIGKILL)
        job_id = shop.job()
        assert floor.offer(job_id)
        assert shop.get(job_id).state == "succeeded"
        assert shop.get(job_id).attempt == 1
        assert those_who_wait(shop) != [waiting]
        wait_until(lambda: len(rooms(shop)) == 1)


def test_nobody_waits_where_that_is_turned_off(shop: Shop) -> None:
    with started(shop.floor(warm=False, keep_runs=True, poll_s=60)) as floor:
        job_id = shop.job()
        assert floor.offer(job_id)
        assert shop.get(job_id).state == "succeeded"
        assert children() == {} and rooms(shop) == []


@pytest.mark.parametrize("damaged", [False, True])
def test_stopping_leaves_no_process_and_no_room(shop: Shop, damaged: bool) -> None:
    """Also after a job whose directory could not be laid out, so that its run never began."""
    with started(shop.floor(poll_s=60)) as floor:
        those_who_wait(shop)
        job_id = shop.job(steps=1)
        if damaged:
            [blob] = shop.blobs.root.glob("??/??/*")
            blob.chmod(0o600)
            blob.write_bytes(b"{}")
        assert floor.offer(job_id)
        assert (shop.get(job_id).state == "failed") == damaged
        those_who_wait(shop)
    assert children() == {}
    assert list(shop.settings().rooms.iterdir()) == []


def test_a_run_is_not_killed_by_the_end_of_those_who_wait(shop: Shop) -> None:
    """A stopped worker's run still gets to write its checkpoint."""
    with started(shop.floor(slots=2)):
        wait_until(lambda: list(children().values()) == ["wait"] * 2, PATIENCE_S)
        job_id = shop.job(steps=600)
        wait_until(lambda: "student/loss" in shop.get(job_id).latest, PATIENCE_S)
    job = shop.get(job_id)
    assert (job.state, job.failures) == ("queued", 0)
    assert list((shop.home / "runs" / job_id / "1/checkpoints").iterdir())


def test_rooms_of_a_worker_that_is_gone_are_removed_and_no_others(tmp_path: Path) -> None:
    room = Room(tmp_path, ODD_RUN, Slot(None, 1))
    try:
        (tmp_path / "abandoned" / "tmp").mkdir(parents=True)
        (tmp_path / "abandoned.lock").touch()
        remove_abandoned(tmp_path)
        assert sorted(tmp_path.iterdir()) == [room.path, room.path.with_suffix(".lock")]
    finally:
        room.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_room_that_never_had_a_lock_goes_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new):
        (path / "tmp").mkdir(parents=True)
    os.utime(old, (1, 1))
    remove_abandoned(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)
