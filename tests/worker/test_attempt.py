"""Attempts with real child processes: every way a run may end, and what becomes of its job."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from distillery.broker.app import make_app
from distillery.broker.config import BellSettings
from distillery.broker.notify import Bell
from distillery.store import jobs
from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.blobs.upload_parts import Parts
from distillery.store.db.database import Database
from distillery.store.db.tables import Attempt, Dataset, Job, Model
from distillery.store.jobs import events
from distillery.wire.states import State
from distillery.worker.clock_guard import SteadyClock
from distillery.worker.oom import oom_kills
from distillery.worker.outcome import Failure, death, read_ending
from distillery.worker.reaper import sweep
from kdcore.spec.events import Exit
from tests.worker.conftest import TENANT, Shop, wait_until


def run(shop: Shop, job_id: str, **settings: Any) -> Job:
    """Run the job once in this thread; its row afterwards."""
    assert shop.floor(**settings).offer(job_id)
    return shop.get(job_id)


def directory(shop: Shop, job_id: str, attempt: int = 1) -> Path:
    return shop.home / "runs" / job_id / str(attempt)


def test_a_good_run_succeeds_and_leaves_nothing_behind(shop: Shop) -> None:
    job = run(shop, job_id := shop.job(steps=3))
    assert (job.state, job.attempt, job.failures) == ("succeeded", 1, 0)
    assert job.latest["student/loss"] == pytest.approx(1 / 3)
    with shop.database.read() as session:
        dataset = session.get_one(Dataset, job.subject)
        assert dataset.state == "ready"
        kinds = [event.kind for event in events.page(session, job_id)]
    assert kinds == ["phase", "metrics", "metrics", "metrics", "end"]
    assert not directory(shop, job_id).parent.exists()


def test_what_a_dead_worker_did_not_write_down_is_kept_by_the_next(shop: Shop) -> None:
    """Else a curve would have a hole: the run goes on behind what was said."""
    job_id = shop.job(steps=2)
    with shop.database.write() as session:
        claim = jobs.claim(session, job_id, "dead", 60)
        assert claim is not None
        jobs.release(session, claim, State.QUEUED, "its worker died")
    first = directory(shop, job_id)
    first.mkdir(parents=True)
    said = '{"seq": 1, "at": 1, "kind": "metrics", "step": 1, "values": {"student/early": 1}}'
    (first / "events.jsonl").write_text(f"{said}\n" + '{"seq": 2, "at"')
    assert run(shop, job_id).state == "succeeded"
    with shop.database.read() as session:
        kept = [(event.attempt, event.kind) for event in events.page(session, job_id)]
    assert kept[:2] == [(1, "metrics"), (2, "phase")]


def test_what_a_dead_worker_had_not_brought_home_of_its_run_is_there_too(shop: Shop) -> None:
    """The run went on for two steps and a checkpoint after its worker had last kept its events."""
    job_id = shop.job(steps=4)
    with shop.database.write() as session:
        jobs.claim(session, job_id, "dead", -1)
        jobs.sweep(session)
        session.execute(update(Job).values(not_before=0))
    left = directory(shop, job_id)
    (left / "checkpoints" / "00000002").mkdir(parents=True)
    said = [
        {"seq": n, "at": 1.5, "kind": "metrics", "step": n, "values": {"student/loss": 1 / n}}
        for n in (1, 2)
    ]
    (left / "events.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in said) + '{"se')
    assert run(shop, job_id).state == "succeeded"
    with shop.database.read() as session:
        (curve,) = events.metrics(session, job_id, ["student/loss"])
    assert curve.steps == [1, 2, 3, 4]


RAVINGS = [
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


def test_ravings_of_a_run_do_no_harm_and_its_sane_events_are_kept(pg_shop: Shop) -> None:
    job_id = pg_shop.job(raw=[line.hex() for line in RAVINGS], exit=1)
    job = run(pg_shop, job_id)
    with pg_shop.database.read() as session:
        said = [(e.kind, e.body) for e in events.page(session, job_id)]
        message = session.get_one(Attempt, (job_id, 1)).message
    assert [body["message"] for kind, body in said if kind == "log"] == ["ab", "sane"]
    assert job.latest == {"z": 1}
    assert job.state == "queued"
    assert message is not None
    assert message.endswith("the last words [31m")


def test_a_models_weights_come_home_with_their_hash(shop: Shop) -> None:
    job = run(shop, shop.job("inspect_model", model="honest"))
    assert job.state == "succeeded"
    with shop.database.read() as session:
        model = session.get_one(Model, job.subject)
    assert model.state == "ready"
    assert model.blob is not None
    assert b"".join(shop.blobs.open(model.blob)) == b"weights"


@pytest.mark.parametrize("way", ["symlink", "folder_link", "outside", "pipe", "changed"])
def test_what_is_no_honest_file_under_out_is_refused(shop: Shop, way: str) -> None:
    job = run(shop, shop.job("inspect_model", model=way))
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] == ("bad_artifact" if way == "changed" else "unsafe_artifact")
    with shop.database.read() as session:
        assert session.get_one(Model, job.subject).state == "rejected"
    assert len(list(shop.blobs.root.glob("??/??/*"))) == 1, "the input alone is kept"


@pytest.mark.parametrize("exit", [Exit.BAD_SPEC, Exit.BAD_INPUT, Exit.DIVERGED])
def test_what_would_fail_again_fails_at_once(shop: Shop, exit: Exit) -> None:
    end = {"code": "odd_image", "message": "image 7 is odd", "pointer": "/dataset"}
    job = run(shop, shop.job(exit=int(exit), end=end))
    assert (job.state, job.error) == ("failed", end)


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ({"exit": 1}, "bug", "the last words"),
        ({"exit": 77}, "bug", "exited with 77"),
        ({"exit": 13, "end": {"code": "out_of_memory", "message": "x"}}, "out_of_memory", "x"),
        ({"exit": 15, "end": {"code": "no_space", "message": "full"}}, "no_space", "full"),
        ({"signal": 9}, "killed", "SIGKILL), perhaps because memory ran out\nthe last words"),
        ({"signal": 11}, "killed", "SIGSEGV"),
        ({"result": {"task": "nonsense"}}, "bad_result", "result.json"),
    ],
)
def test_deaths_are_named(shop: Shop, script: dict[str, Any], code: str, words: str) -> None:
    job = run(shop, job_id := shop.job(**script))
    with shop.database.read() as session:
        message = session.get_one(Attempt, (job_id, 1)).message
    assert message is not None
    assert message.startswith(f"{code}: ")
    assert words in message
    assert job.state == ("failed" if code == "bad_result" else "queued")


def test_deaths_are_retried_until_the_job_counts_as_poison(shop: Shop) -> None:
    floor = shop.floor()
    job_id = shop.job(signal=9)
    for attempt in (1, 2, 3):
        with shop.database.write() as session:
            session.get_one(Job, job_id).not_before = 0
        assert floor.offer(job_id)
        assert shop.get(job_id).attempt == attempt
    job = shop.get(job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["code"] == "poison"
    assert "SIGKILL" in job.error["message"]


def test_a_kill_for_want_of_memory_has_its_name(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    counters.write_text("nr_free_pages 5\noom_kill 7\n")
    assert (oom_kills(counters), oom_kills(tmp_path / "none")) == (7, 0)
    ending = read_ending(-9, None, None, "last words", memory_ran_out=True)
    assert isinstance(ending, Failure) and ending.retry
    assert ending.code == "out_of_memory" and ending.message.endswith("last words")


def test_a_job_that_kills_its_workers_ends_as_poison_with_the_end_of_its_log(shop: Shop) -> None:
    """Each time the lease lapses, and the sweep reads what the run had said."""
    job_id, bell = shop.job(), Bell(make_app(BellSettings(home=shop.home)))
    parts, blobs = Parts(shop.home / "uploads"), LocalBlobs(shop.home / "blobs")
    clock, runs = SteadyClock(60.0), shop.settings().runs
    for attempt in (1, 2, 3):
        with shop.database.write() as session:
            session.get_one(Job, job_id).not_before = 0
            assert jobs.claim(session, job_id, "w", lease_s=-1) is not None
        folder = directory(shop, job_id, attempt)
        folder.mkdir(parents=True)
        (folder / "run.log").write_text(f"attempt {attempt}\neats all memory\n")
        sweep(shop.database, parts, blobs, bell, clock, runs, 1.0)
        if attempt < 3:
            waiting = shop.get(job_id)
            assert waiting.state == "queued" and waiting.not_before > 0, "after a pause"
            with shop.database.read() as session:
                why = jobs.waiting_for(session, waiting)
                assert why is not None and why.reason == "backoff"
    error = shop.get(job_id).error
    assert error is not None and error["code"] == "poison"
    assert "worker_lost" in error["message"]
    assert error["message"].endswith("attempt 3\neats all memory")


class Busy:
    """A job that runs in a thread; waits until its run has said something."""

    def __init__(self, shop: Shop, settings: dict[str, Any] | None = None, **script: Any):
        self.shop = shop
        self.job_id = shop.job(**{"steps": 400} | script)
        self.floor = shop.floor(**settings or {})
        self.thread = threading.Thread(target=self.floor.offer, args=(self.job_id,))
        self.thread.start()
        wait_until(lambda: "student/loss" in shop.get(self.job_id).latest)

    def end(self) -> Job:
        """The job's row once the attempt is over."""
        self.thread.join(timeout=20)
        assert not self.thread.is_alive()
        return self.shop.get(self.job_id)


def test_a_cancel_ends_the_run_and_the_job(shop: Shop) -> None:
    busy = Busy(shop)
    with shop.database.write() as session:
        jobs.request_cancel(session, TENANT, busy.job_id)
    assert busy.end().state == "cancelled"
    assert not directory(shop, busy.job_id).parent.exists()


def test_a_pause_checkpoints_and_a_resume_goes_on_from_there(shop: Shop) -> None:
    busy = Busy(shop, steps=40)
    with shop.database.write() as session:
        jobs.request_pause(session, TENANT, busy.job_id)
    assert busy.end().state == "paused"
    [checkpoint] = (directory(shop, busy.job_id) / "checkpoints").iterdir()
    with shop.database.write() as session:
        jobs.resume(session, TENANT, busy.job_id)
    job = run(shop, busy.job_id)
    assert (job.state, job.attempt, job.failures) == ("succeeded", 2, 0)
    assert job.latest["start"] == int(checkpoint.name) > 0


def test_a_stopped_worker_releases_its_job(shop: Shop) -> None:
    busy = Busy(shop)
    busy.floor.stop()
    job = busy.end()
    assert (job.state, job.failures, job.not_before) == ("queued", 0, 0)
    assert list((directory(shop, busy.job_id) / "checkpoints").iterdir())
    assert not busy.floor.offer(busy.job_id), "a stopped worker claims nothing"


def test_a_run_that_does_not_hear_is_killed_after_the_grace_time(shop: Shop) -> None:
    busy = Busy(shop, {"grace_s": 0.5}, deaf=True)
    began_s = time.monotonic()
    busy.floor.stop()
    assert busy.end().state == "queued"
    assert 0.4 < time.monotonic() - began_s < 4


def test_a_lost_lease_kills_the_run_and_nothing_late_is_written(shop: Shop) -> None:
    busy = Busy(shop, deaf=True)
    with shop.database.write() as session:  # as after a lapse: somebody else's attempt
        session.get_one(Job, busy.job_id).attempt += 1
    job = busy.end()
    assert (job.state, job.attempt) == ("running", 2)
    before = job.last_event
    time.sleep(0.3)
    assert shop.get(busy.job_id).last_event == before


def test_silence_makes_a_worker_give_up_within_half_a_lease_and_release_later(shop: Shop) -> None:
    busy = Busy(shop, {"lease_s": 6, "beat_s": 0.2})
    lock = Database(shop.url)
    began_s = time.monotonic()
    with lock.write() as session:  # nobody else can write: no beat, no event
        jobs.sweep(session)
        run_dir = directory(shop, busy.job_id)
        wait_until(lambda: any((run_dir / "checkpoints").iterdir()), 6)
        assert time.monotonic() - began_s < 4.5, "before a quarter of the lease is left"
    job = busy.end()
    assert (job.state, job.failures) == ("queued", 0)
    lock.dispose()


def test_a_run_that_says_nothing_is_stalled(shop: Shop) -> None:
    job = run(shop, shop.job(deaf=True, hang=60), stall_s=0.5, grace_s=0.2)
    assert job.state == "queued"
    with shop.database.read() as session:
        message = session.get_one(Attempt, (job.id, 1)).message
    assert message is not None
    assert message.startswith("stalled: ")


def test_the_run_gets_a_bare_environment(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KD_DATABASE_URL", "postgresql://user:secret@host/db")
    job = run(shop, shop.job(), keep_runs=True)
    environment = json.loads((directory(shop, job.id) / "env.json").read_text())
    assert "secret" not in json.dumps(environment)
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert (environment["HOME"], environment["TMPDIR"]) == (".", "tmp")


def test_a_damaged_blob_is_noticed_before_it_is_used(shop: Shop) -> None:
    job_id = shop.job(steps=1)
    [blob] = shop.blobs.root.glob("??/??/*")
    blob.chmod(0o600)
    blob.write_bytes(b"{}")
    job = run(shop, job_id)
    assert job.error is not None
    assert job.error["code"] == "blob_damaged"


def test_signals_have_names() -> None:
    assert death(signal.SIGABRT) == "the run was killed by SIGABRT"
    assert death(99) == "the run was killed by signal 99"
