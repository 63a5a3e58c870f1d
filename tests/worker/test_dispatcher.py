"""The floor: one job per slot, lost rings found, old directories removed."""

import os
import threading

from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.wire.states import State
from tests.worker.conftest import Shop, wait_until


def test_a_ring_for_a_full_floor_is_left_to_the_poll(shop: Shop) -> None:
    floor = shop.floor(slots=1)
    first, second = shop.job(steps=20), shop.job()
    thread = threading.Thread(target=floor.offer, args=(first,))
    thread.start()
    wait_until(lambda: floor.slots.free == 0)
    assert not floor.offer(second)
    thread.join()
    assert shop.get(second).state == "queued"


def test_the_poll_fills_every_slot_and_takes_the_next_when_one_is_free(shop: Shop) -> None:
    floor = shop.floor(slots=2)
    jobs = [shop.job(steps=2) for _ in range(4)]
    floor.start()
    try:
        for job_id in jobs:
            assert shop.wait_for(job_id, "succeeded").attempt == 1
    finally:
        floor.stop()
        floor.join()
    assert floor.slots.free == 2


def test_directories_of_jobs_that_are_over_are_removed(shop: Shop) -> None:
    ids = {name: shop.job() for name in ("queued", "succeeded", "failed lately", "failed long ago")}
    with shop.database.write() as session:
        now = db_now(session)
        for name, ago_s in (("succeeded", 0), ("failed lately", 10), ("failed long ago", 1000)):
            job = session.get_one(Job, ids[name])
            job.state = State(name.split()[0])
            job.finished_at = now - ago_s * 1000
    for folder in [*ids.values(), "job_unknown"]:
        (shop.home / "runs" / folder / "1").mkdir(parents=True)
    os.utime(shop.home / "runs" / "job_unknown", (1, 1))
    floor = shop.floor(keep_failed_s=100)
    floor.start()
    wanted = {ids["queued"], ids["failed lately"], ".rooms"}
    try:
        shop.wait_for(ids["queued"], "succeeded")
        wait_until(lambda: {p.name for p in (shop.home / "runs").iterdir()} <= wanted)
    finally:
        floor.stop()
        floor.join()
    assert (shop.home / "runs" / ids["failed lately"]).exists()
