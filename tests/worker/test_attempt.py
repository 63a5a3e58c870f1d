"""Attempts with real child processes: each way a run can end, and the job's state after it."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from distillery.broker.app import make_app
from distillery.broker.config import BrokerSettings
from distillery.broker.notify import Notifier
from distillery.store import jobs
from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.blobs.upload_parts import UploadParts
from distillery.store.db.database import Database
from distillery.store.db.tables import Attempt, Dataset, Job, Model
from distillery.store.jobs import curves, events
from distillery.wire.states import State
from distillery.worker.clock_guard import ClockGuard
from distillery.worker.oom import oom_kills
from distillery.worker.outcome import Failure, describe_signal, read_outcome
from distillery.worker.reaper import reap
from kdcore.spec.codes import Exit
from tests.worker.harness import TENANT, WorkerHarness, wait_until


def run(harness: WorkerHarness, job_id: str, **settings: Any) -> Job:
    """Run the job once in this thread; returns its row."""
    assert harness.dispatcher(**settings).offer(job_id)
    return harness.get(job_id)


def directory(harness: WorkerHarness, job_id: str, attempt: int = 1) -> Path:
    return harness.home / "runs" / job_id / str(attempt)


def test_a_successful_run_leaves_no_directory(harness: WorkerHarness) -> None:
    job = run(harness, job_id := harness.job(steps=3))
    assert (job.state, job.attempt, job.failures) == ("succeeded", 1, 0)
    assert job.latest["student/loss"] == pytest.approx(1 / 3)
    with harness.database.read() as session:
        dataset = session.get_one(Dataset, job.subject)
        assert dataset.state == "ready"
        kinds = [event.kind for event in events.page(session, job_id)]
    assert kinds == ["phase", "metrics", "metrics", "metrics", "end"]
    assert not directory(harness, job_id).parent.exists()


def test_events_that_a_dead_worker_did_not_store_are_imported(harness: WorkerHarness) -> None:
    """Otherwise a curve would have a gap: the resumed run does not emit them again."""
    job_id = harness.job(steps=2)
    with harness.database.write() as session:
        claim = jobs.claim(session, job_id, "dead", 60)
        assert claim is not None
        jobs.release(session, claim, State.QUEUED, "its worker died")
    first = directory(harness, job_id)
    first.mkdir(parents=True)
    line = '{"seq": 1, "at": 1, "kind": "metrics", "step": 1, "values": {"student/early": 1}}'
    (first / "events.jsonl").write_text(f"{line}\n" + '{"seq": 2, "at"')
    assert run(harness, job_id).state == "succeeded"
    with harness.database.read() as session:
        kept = [(event.attempt, event.kind) for event in events.page(session, job_id)]
    assert kept[:2] == [(1, "metrics"), (2, "phase")]


def test_a_curve_has_no_gap_after_a_dead_worker(
    harness: WorkerHarness,
) -> None:
    """The run made two steps and a checkpoint after its worker last stored its events."""
    job_id = harness.job(steps=4)
    with harness.database.write() as session:
        jobs.claim(session, job_id, "dead", -1)
        jobs.reap(session)
        session.execute(update(Job).values(not_before=0))
    left = directory(harness, job_id)
    (left / "checkpoints" / "00000002").mkdir(parents=True)
    lines = [
        {"seq": n, "at": 1.5, "kind": "metrics", "step": n, "values": {"student/loss": 1 / n}}
        for n in (1, 2)
    ]
    (left / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"se')
    assert run(harness, job_id).state == "succeeded"
    with harness.database.read() as session:
        (curve,) = curves.curves(session, job_id, ["student/loss"])
    assert curve.steps == [1, 2, 3, 4]


MALFORMED_EVENTS = [
    b'{"seq": 2, "at": 1, "kind": "log", "level": "info", "message": "a\\u0000b"}',
    b'{"seq": 3, "at": 1, "kind": "log", "level": "info", "message": "\\ud800"}',
    b'{"seq": 1, "at": 1, "kind": "log", "level": "info", "message": "again"}',
    b'{"seq": 4, "at": 1, "kind": "metrics", "step": 1, "values": {"x": NaN, "y": 1e999, "z": 1}}',
    b"\xff\x00 nonsense",
    b"[1, 2]",
    b"",
    b'{"seq": 5, "at": 1, "kind": "log", "level": "info", "message": "' + b"x" * 2_000_000 + b'"}',
    b'{"seq": 6, "at": 1, "kind": "log", "level": "info", "message": "sane"}',
]


def test_malformed_events_are_dropped_and_valid_ones_kept(
    pg_harness: WorkerHarness,
) -> None:
    job_id = pg_harness.job(raw=[line.hex() for line in MALFORMED_EVENTS], exit=1)
    job = run(pg_harness, job_id)
    with pg_harness.database.read() as session:
        stored = [(e.kind, e.body) for e in events.page(session, job_id)]
        message = session.get_one(Attempt, (job_id, 1)).message
    assert [body["message"] for kind, body in stored if kind == "log"] == ["ab", "sane"]
    assert job.latest == {"z": 1}
    assert job.state == "queued"
    assert message is not None
    assert message.endswith("the last line [31m")


def test_a_models_weights_are_stored_with_their_hash(harness: WorkerHarness) -> None:
    job = run(harness, harness.job("inspect_model", model="valid"))
    assert job.state == "succeeded"
    with harness.database.read() as session:
        model = session.get_one(Model, job.subject)
    assert model.state == "ready"
    assert model.blob is not None
    assert b"".join(harness.blobs.open(model.blob)) == b"weights"


@pytest.mark.parametrize("kind", ["symlink", "folder_link", "outside", "pipe", "changed"])
def test_an_unsafe_or_changed_artifact_is_refused(harness: WorkerHarness, kind: str) -> None:
    job = run(harness, harness.job("inspect_model", model=kind))
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] == ("bad_artifact" if kind == "changed" else "unsafe_artifact")
    with harness.database.read() as session:
        assert session.get_one(Model, job.subject).state == "rejected"
    assert len(list(harness.blobs.root.glob("??/??/*"))) == 1, "only the input is kept"


@pytest.mark.parametrize("exit", [Exit.BAD_SPEC, Exit.BAD_INPUT, Exit.DIVERGED])
def test_a_failure_that_would_recur_is_not_retried(harness: WorkerHarness, exit: Exit) -> None:
    end = {"code": "bad_dataset", "message": "image 7 is odd", "pointer": "/dataset"}
    job = run(harness, harness.job(exit=int(exit), end=end))
    # What the run calls its dataset is the upload in the request that the inspection is about.
    assert (job.state, job.error) == ("failed", {**end, "pointer": "/upload"})


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ({"exit": 1}, "bug", "the last line"),
        ({"exit": 77}, "bug", "exited with 77"),
        ({"exit": 13, "end": {"code": "out_of_memory", "message": "x"}}, "out_of_memory", "x"),
        ({"exit": 15, "end": {"code": "no_space", "message": "full"}}, "no_space", "full"),
        ({"signal": 9}, "killed", "SIGKILL), perhaps because memory ran out\nthe last line"),
        ({"signal": 11}, "killed", "SIGSEGV"),
        ({"result": {"task": "nonsense"}}, "bad_result", "result.json"),
    ],
)
def test_an_exit_is_given_its_code(
    harness: WorkerHarness, script: dict[str, Any], code: str, words: str
) -> None:
    job = run(harness, job_id := harness.job(**script))
    with harness.database.read() as session:
        message = session.get_one(Attempt, (job_id, 1)).message
    assert message is not None
    assert message.startswith(f"{code}: ")
    assert words in message
    assert job.state == ("failed" if code == "bad_result" else "queued")


def test_failures_are_retried_until_the_job_is_poison(harness: WorkerHarness) -> None:
    dispatcher = harness.dispatcher()
    job_id = harness.job(signal=9)
    for attempt in (1, 2, 3):
        with harness.database.write() as session:
            session.get_one(Job, job_id).not_before = 0
        assert dispatcher.offer(job_id)
        assert harness.get(job_id).attempt == attempt
    job = harness.get(job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] == "poison"
    assert "SIGKILL" in job.error["message"]


def test_an_oom_kill_is_reported_as_out_of_memory(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    counters.write_text("nr_free_pages 5\noom_kill 7\n")
    assert (oom_kills(counters), oom_kills(tmp_path / "none")) == (7, 0)
    outcome = read_outcome(-9, None, None, "last words", memory_ran_out=True)
    assert isinstance(outcome, Failure) and outcome.retry
    assert outcome.code == "out_of_memory" and outcome.message.endswith("last words")


def test_a_job_that_kills_its_workers_fails_as_poison_with_its_last_log_lines(
    harness: WorkerHarness,
) -> None:
    """Each time the lease lapses, and the reaper reads the run's log."""
    job_id, notifier = harness.job(), Notifier(make_app(BrokerSettings(home=harness.home)))
    parts, blobs = UploadParts(harness.home / "uploads"), LocalBlobs(harness.home / "blobs")
    clock, runs = ClockGuard(60.0), harness.settings().runs
    for attempt in (1, 2, 3):
        with harness.database.write() as session:
            session.get_one(Job, job_id).not_before = 0
            assert jobs.claim(session, job_id, "w", lease_s=-1) is not None
        folder = directory(harness, job_id, attempt)
        folder.mkdir(parents=True)
        (folder / "run.log").write_text(f"attempt {attempt}\nallocates all memory\n")
        reap(harness.database, parts, blobs, notifier, clock, runs, 1.0)
        if attempt < 3:
            waiting = harness.get(job_id)
            assert waiting.state == "queued" and waiting.not_before > 0, "after a backoff"
            with harness.database.read() as session:
                why = jobs.waiting_for(session, waiting)
                assert why is not None and why.reason == "backoff"
    error = harness.get(job_id).error
    assert error is not None and error["code"] == "poison"
    assert "worker_lost" in error["message"]
    assert error["message"].endswith("attempt 3\nallocates all memory")


class RunningJob:
    """Runs a job in a thread, and waits until its run has made a step."""

    def __init__(
        self, harness: WorkerHarness, settings: dict[str, Any] | None = None, **script: Any
    ):
        self.harness = harness
        self.job_id = harness.job(**{"steps": 400} | script)
        self.dispatcher = harness.dispatcher(**settings or {})
        self.thread = threading.Thread(target=self.dispatcher.offer, args=(self.job_id,))
        self.thread.start()
        wait_until(lambda: "student/loss" in harness.get(self.job_id).latest)

    def end(self) -> Job:
        """Wait for the end of the attempt; returns the job's row."""
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()
        return self.harness.get(self.job_id)


def test_a_cancel_ends_the_run_and_the_job(harness: WorkerHarness) -> None:
    running_job = RunningJob(harness)
    with harness.database.write() as session:
        jobs.request_cancel(session, TENANT, running_job.job_id)
    assert running_job.end().state == "cancelled"
    assert not directory(harness, running_job.job_id).parent.exists()


def test_a_pause_checkpoints_and_a_resume_continues_from_there(harness: WorkerHarness) -> None:
    running_job = RunningJob(harness, steps=40)
    with harness.database.write() as session:
        jobs.request_pause(session, TENANT, running_job.job_id)
    assert running_job.end().state == "paused"
    [checkpoint] = (directory(harness, running_job.job_id) / "checkpoints").iterdir()
    with harness.database.write() as session:
        jobs.resume(session, TENANT, running_job.job_id)
    job = run(harness, running_job.job_id)
    assert (job.state, job.attempt, job.failures) == ("succeeded", 2, 0)
    assert job.latest["start"] == int(checkpoint.name) > 0


def test_a_stopped_worker_releases_its_job(harness: WorkerHarness) -> None:
    running_job = RunningJob(harness)
    running_job.dispatcher.stop()
    job = running_job.end()
    assert (job.state, job.failures, job.not_before) == ("queued", 0, 0)
    assert list((directory(harness, running_job.job_id) / "checkpoints").iterdir())
    assert not running_job.dispatcher.offer(running_job.job_id), "a stopped worker claims nothing"


def test_a_run_that_ignores_sigterm_is_killed_after_the_grace_period(
    harness: WorkerHarness,
) -> None:
    running_job = RunningJob(harness, {"grace_s": 0.5}, ignore_sigterm=True)
    started_s = time.monotonic()
    running_job.dispatcher.stop()
    assert running_job.end().state == "queued"
    assert 0.4 < time.monotonic() - started_s < 4


def test_a_lost_lease_kills_the_run_and_nothing_more_is_written(harness: WorkerHarness) -> None:
    running_job = RunningJob(harness, ignore_sigterm=True)
    with (
        harness.database.write() as session
    ):  # as if the lease had lapsed and another worker had claimed the job
        session.get_one(Job, running_job.job_id).attempt += 1
    job = running_job.end()
    assert (job.state, job.attempt) == ("running", 2)
    before = job.last_event
    time.sleep(0.3)
    assert harness.get(running_job.job_id).last_event == before


def test_without_the_database_a_run_stops_within_half_a_lease_and_is_released_later(
    harness: WorkerHarness,
) -> None:
    running_job = RunningJob(harness, {"lease_s": 6, "heartbeat_s": 0.2})
    lock = Database(harness.url)
    started_s = time.monotonic()
    with lock.write() as session:  # blocks all other writes: no renewals, no events
        jobs.reap(session)
        run_dir = directory(harness, running_job.job_id)
        wait_until(lambda: any((run_dir / "checkpoints").iterdir()), 6)
        assert time.monotonic() - started_s < 4.5, "before a quarter of the lease is left"
    job = running_job.end()
    assert (job.state, job.failures) == ("queued", 0)
    lock.dispose()


def test_a_run_without_events_is_stalled(harness: WorkerHarness) -> None:
    job = run(harness, harness.job(ignore_sigterm=True, hang=60), stall_s=0.5, grace_s=0.2)
    assert job.state == "queued"
    with harness.database.read() as session:
        message = session.get_one(Attempt, (job.id, 1)).message
    assert message is not None
    assert message.startswith("stalled: ")


def test_a_run_inherits_no_credentials(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KD_DATABASE_URL", "postgresql://user:secret@host/db")
    job = run(harness, harness.job(), keep_runs=True)
    environment = json.loads((directory(harness, job.id) / "env.json").read_text())
    assert "secret" not in json.dumps(environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert (environment["HOME"], environment["TMPDIR"]) == (".", "tmp")


def test_a_damaged_blob_is_detected_before_the_run(harness: WorkerHarness) -> None:
    job_id = harness.job(steps=1)
    [blob] = harness.blobs.root.glob("??/??/*")
    blob.chmod(0o600)
    blob.write_bytes(b"{}")
    job = run(harness, job_id)
    assert job.error is not None
    assert job.error["code"] == "blob_damaged"


def test_signals_are_named() -> None:
    assert describe_signal(signal.SIGABRT) == "the run was killed by SIGABRT"
    assert describe_signal(99) == "the run was killed by signal 99"
