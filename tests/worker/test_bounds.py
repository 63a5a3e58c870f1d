"""Runs that write too much, and disks that are nearly full."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from distillery.store import jobs
from distillery.store.blobs import blobs
from distillery.store.errors import NoSpace
from distillery.store.jobs import events
from distillery.worker.disk_guard import DiskGuard
from distillery.worker.recorder import LINE_BYTES, MAX_COMPLAINTS, Recorder, parse_event
from kdcore.spec.events import RunEvent
from tests.worker.harness import TENANT, WorkerHarness, wait_until

MIB = 1 << 20


def test_a_run_with_a_long_log_succeeds(harness: WorkerHarness) -> None:
    job_id = harness.job(lines=20_000, steps=8)
    assert harness.dispatcher(run_log_bytes=1 << 16, keep_runs=True).offer(job_id)
    assert harness.get(job_id).state == "succeeded"
    log = harness.home / "runs" / job_id / "1" / "run.log"
    assert "the last line" in log.read_text()


@pytest.mark.parametrize("script", [{"events_mb": 600}, {"lines": 400_000}])
def test_a_run_over_the_output_limit_is_killed(
    harness: WorkerHarness, script: dict[str, Any]
) -> None:
    job_id = harness.job(ignore_sigterm=True, hang_at_end=60, **script)
    assert harness.dispatcher(run_output_bytes=3 * MIB, grace_s=60).offer(job_id)
    job = harness.get(job_id)
    assert job.state == "failed" and job.error is not None, (
        "not retried: it would do the same again"
    )
    assert job.error["code"] == "too_much_output"
    assert job.attempt == 1
    with harness.database.read() as s:
        assert len(events.page(s, job_id)) < 10
    assert not (harness.home / "runs" / job_id / "1" / "events.jsonl").exists(), (
        "nor are they left on the disk"
    )


def event(**fields: Any) -> RunEvent | None:
    whole = {"seq": 1, "at": 1.0} | fields
    return parse_event(json.dumps(whole).encode())


def test_every_part_of_an_event_is_bounded() -> None:
    cut = event(kind="log", level="info", message="x" * 10_000)
    assert cut is not None and len(cut.model_dump()["message"]) == 4000
    assert event(kind="log", level="info", message="x" * LINE_BYTES) is None
    assert event(kind="phase", phase="x" * 101) is None
    assert event(kind="metrics", step=2**63, values={"x": 1}) is None
    assert event(kind="log", level="info", message="", seq=2**63) is None
    for at in (1e300, float("inf"), float("nan"), -1.0):
        assert event(kind="log", level="info", message="", at=at) is None
    named = event(kind="metrics", step=1, values={"x" * 101: 1.0, "y": 1.0})
    assert named is not None and named.model_dump()["values"] == {"y": 1.0}


def test_invalid_lines_do_not_fill_the_workers_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"nonsense\n" * 5000)
    assert not Recorder(tmp_path).drain(lambda _: None)
    assert len(caplog.records) == MAX_COMPLAINTS + 1


def test_events_behind_a_link_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text('{"kind": "log"}\n')
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.jsonl").symlink_to(tmp_path / "secret")
    assert not Recorder(tmp_path / "run").drain(lambda _: pytest.fail("it was read"))


def test_jobs_wait_for_disk_space_and_report_it(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortage = ["1 MiB free"]
    monkeypatch.setattr(DiskGuard, "shortage", lambda _: shortage[0] if shortage else None)
    job_id = harness.job()
    dispatcher = harness.dispatcher()
    assert not dispatcher.offer(job_id), "nor for a notification"
    dispatcher.start()
    try:
        wait_until(lambda: waits_for(harness, job_id) == "disk_low")
        assert harness.get(job_id).state == "queued"
        shortage.clear()
        assert harness.wait_for(job_id, "succeeded").attempt == 1
    finally:
        dispatcher.stop()
        dispatcher.join()


def waits_for(harness: WorkerHarness, job_id: str) -> str | None:
    with harness.database.read() as s:
        waiting = jobs.waiting_for(s, jobs.get(s, TENANT, job_id))
    return None if waiting is None else waiting.reason


def test_free_space_is_checked_where_the_directory_will_be(tmp_path: Path) -> None:
    folders = {"run directories": tmp_path / "not" / "yet"}
    assert DiskGuard(folders, 0).shortage() is None
    message = DiskGuard(folders, 2**62).shortage()
    assert message is not None
    assert "run directories" in message and "KD_MIN_FREE_BYTES" in message


def test_a_full_disk_under_the_run_directory_is_reported(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("distillery.worker.rundir.place_blob", full)
    job_id = harness.job()
    assert harness.dispatcher().offer(job_id)
    job = harness.get(job_id)
    assert job.state == "queued" and job.failures == 1
    with harness.database.read() as s:
        moves = events.transitions(s, job_id)
    assert moves[-1].message == "no_space: the disk is full"


def test_blobs_are_refused_below_the_low_water_mark(tmp_path: Path) -> None:
    store = blobs.make_blobs(str(tmp_path), 2**62)
    with pytest.raises(NoSpace):
        store.require_space(1)
    assert store.put_stream([b"a job's own results may use what is left"])
