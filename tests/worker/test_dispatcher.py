"""The dispatcher: one job per slot, lost notifications found, old directories deleted."""

import os
import threading

from distillery.store.db.database import db_now
from distillery.store.db.tables import Job
from distillery.wire.states import State
from tests.worker.harness import WorkerHarness, wait_until


def test_a_notification_is_left_to_the_poll_while_no_slot_is_free(harness: WorkerHarness) -> None:
    dispatcher = harness.dispatcher(slots=1)
    first, second = harness.job(steps=20), harness.job()
    thread = threading.Thread(target=dispatcher.offer, args=(first,))
    thread.start()
    wait_until(lambda: dispatcher.slots.free == 0)
    assert not dispatcher.offer(second)
    thread.join()
    assert harness.get(second).state == "queued"


def test_the_poll_fills_every_slot_as_it_becomes_free(
    harness: WorkerHarness,
) -> None:
    dispatcher = harness.dispatcher(slots=2)
    jobs = [harness.job(steps=2) for _ in range(4)]
    dispatcher.start()
    try:
        for job_id in jobs:
            assert harness.wait_for(job_id, "succeeded").attempt == 1
    finally:
        dispatcher.stop()
        dispatcher.join()
    assert dispatcher.slots.free == 2


def test_directories_of_finished_jobs_are_deleted(harness: WorkerHarness) -> None:
    ids = {
        name: harness.job() for name in ("queued", "succeeded", "failed lately", "failed long ago")
    }
    with harness.database.write() as session:
        now = db_now(session)
        for name, ago_s in (("succeeded", 0), ("failed lately", 10), ("failed long ago", 1000)):
            job = session.get_one(Job, ids[name])
            job.state = State(name.split()[0])
            job.finished_at = now - ago_s * 1000
    for folder in [*ids.values(), "job_unknown"]:
        (harness.home / "runs" / folder / "1").mkdir(parents=True)
    os.utime(harness.home / "runs" / "job_unknown", (1, 1))
    dispatcher = harness.dispatcher(keep_failed_s=100)
    dispatcher.start()
    wanted = {ids["queued"], ids["failed lately"], ".warm"}
    try:
        harness.wait_for(ids["queued"], "succeeded")
        wait_until(lambda: {p.name for p in (harness.home / "runs").iterdir()} <= wanted)
    finally:
        dispatcher.stop()
        dispatcher.join()
    assert (harness.home / "runs" / ids["failed lately"]).exists()
