"""Every invariant detects its violations, and a sound service has none."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from distillery.store import idempotency, jobs
from distillery.store.blobs import blobs as blob_rows
from distillery.store.blobs.blobs import LocalBlobs
from distillery.store.db.database import Database
from distillery.store.db.tables import (
    Artifact,
    Attempt,
    Event,
    IdempotencyKey,
    Job,
    MetricPoint,
    TeacherOutput,
    Transition,
    Upload,
)
from distillery.store.jobs import events
from distillery.store.jobs.submit import insert_job
from distillery.wire.states import State
from tests.faults.check import INVARIANTS, check, main
from tests.faults.invariants.evidence import Evidence
from tests.faults.invariants.leftovers import COLLECTED_S
from tests.store.makers import (
    LEASE_S,
    TENANT,
    distill_result,
    metrics_event,
    plain_spec,
    progress_event,
)

CONTROL = b"weights"


@dataclass
class Sound:
    """A service with a job that succeeded at its second attempt, and no violation."""

    database: Database
    home: Path
    blobs: LocalBlobs
    job: str
    weights: str

    def broken(self, **evidence: object) -> set[str]:
        """The numbers of the violated invariants."""
        with self.database.read() as s:
            given = Evidence(
                s,
                self.blobs,
                homes=[self.home],
                controls=frozenset([self.weights]),
                unique_names=True,
            )
            for name, value in evidence.items():
                setattr(given, name, value)
            return {number for number, violations in check(given).items() if violations}


@pytest.fixture
def sound(database: Database, tmp_path: Path) -> Iterator[Sound]:
    kept = LocalBlobs(tmp_path / "blobs")
    weights = kept.put_stream([CONTROL])
    job_id = _work(database, weights)
    yield Sound(database, tmp_path, kept, job_id, weights.sha256)


def _work(database: Database, weights: blob_rows.Stored) -> str:
    spec = plain_spec().model_dump(mode="json")
    with database.write() as s:
        job = insert_job(s, TENANT, "distill", "a job", spec=spec)
        idempotency.save(s, TENANT, "k", "f", status=202, location=None, body={"id": job.id})
    for number in (1, 2):
        with database.write() as s:
            claim = jobs.claim(s, job.id, f"w{number}", LEASE_S)
            assert claim is not None
            points = metrics_event(2, 5 * number, **{"student/loss": 1 / number})
            events.append(s, claim, [progress_event(1, 5 * number), points])
            if number == 1:
                jobs.release(s, claim, State.QUEUED, "stopped")
    artifact = {
        "kind": "weights",
        "path": "student.safetensors",
        "media_type": "x",
        "size_bytes": weights.size,
        "sha256": weights.sha256,
    }
    assert claim is not None
    new = jobs.NewArtifact("weights", "student.safetensors", "x", weights.size, weights.sha256)
    with database.write() as s:
        jobs.succeed(s, claim, distill_result() | {"artifacts": [artifact]}, [new])
    return job.id


def test_a_sound_service_has_no_violation(sound: Sound) -> None:
    assert sound.broken() == set()
    with sound.database.write() as s:
        insert_job(s, TENANT, "distill", "another", spec=plain_spec().model_dump(mode="json"))
    assert sound.broken() == {"I4"}
    assert sound.broken(settled=False) == set()


Plant = Callable[[Sound, Session], object]


def _attempt(number: int, attempt: int, target: str) -> Plant:
    def plant(sound: Sound, s: Session) -> None:
        s.add(
            Transition(
                job_id=sound.job,
                source="succeeded",
                target=target,
                attempt=attempt,
                at=number,
                message="",
            )
        )

    return plant


def _set(table: type, **values: object) -> Plant:
    return lambda sound, s: s.execute(update(table).values(**values))


def _leave(path: str, age_s: float = 0.0) -> Plant:
    def plant(sound: Sound, s: Session) -> None:
        file = sound.home / path.format(job=sound.job)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
        then = time.time() - age_s
        os.utime(file, (then, then))

    return plant


def _damage(data: bytes | None) -> Plant:
    def plant(sound: Sound, s: Session) -> None:
        path = sound.blobs.path_of(sound.weights)
        assert path is not None
        path.unlink()
        if data is not None:
            path.write_bytes(data)

    return plant


def _dangling_output(sound: Sound, s: Session) -> None:
    gone = "cd" * 32
    blob_rows.record(s, blob_rows.Stored(gone, 1))
    names = {"teacher": gone, "dataset": gone, "blob": gone}
    s.add(TeacherOutput(tenant=TENANT, key=gone, size=1, created_at=0, used_at=0, **names))


def _queued(task: str, not_before: int) -> Plant:
    def plant(sound: Sound, s: Session) -> None:
        insert_job(s, TENANT, task, "waits").not_before = not_before

    return plant


def _expired_with_parts(sound: Sound, s: Session) -> None:
    row = {"tenant": TENANT, "size": 1, "part_size": 1, "created_at": 0, "expires_at": 0}
    s.add(Upload(id="upl_gone", state="expired", **row))
    _leave("uploads/upl_gone/1.part")(sound, s)


def _second_set(sound: Sound, s: Session) -> None:
    first = s.scalars(select(Artifact)).one()
    row = {"job_id": sound.job, "kind": "weights", "media_type": "x", "created_at": 0}
    s.add(Artifact(id="art_2", tenant=TENANT, name="again", size=7, sha256=first.sha256, **row))


def _run_without_worker(sound: Sound, s: Session) -> None:
    folder = sound.home / "runs" / "x"
    folder.mkdir(parents=True)
    _STARTED.append(
        subprocess.Popen([sys.executable, "-c", "input()"], cwd=folder, stdin=subprocess.PIPE)
    )


_STARTED: list[subprocess.Popen[bytes]] = []
PLANTS: list[tuple[str, str, Plant]] = [
    ("ended twice", "I1", _attempt(1, 2, "failed")),
    ("ended without a transition", "I1", lambda d, s: s.execute(
        delete(Transition).where(Transition.target == "succeeded"))),
    ("an attempt is missing", "I2", lambda d, s: s.execute(
        delete(Attempt).where(Attempt.number == 1))),
    ("an attempt is open", "I2", _set(Attempt, ended_at=None)),
    ("a late event", "I2", lambda d, s: s.execute(
        update(Event).where(Event.id == 4).values(attempt=1))),
    ("a late move", "I2", lambda d, s: s.execute(
        update(Transition).where(Transition.target == "succeeded").values(attempt=1))),
    ("a point of no attempt", "I2", _set(MetricPoint, attempt=7)),
    ("an illegal move", "I3", _attempt(1, 2, "running")),
    ("the state differs", "I3", _set(Job, state="paused")),
    ("still queued", "I4", _queued("distill", 0)),
    ("a blob is missing", "I5", _damage(None)),
    ("a blob has other bytes", "I5", _damage(b"wEights")),
    ("a blob is truncated", "I5", _damage(b"wei")),
    ("teacher outputs without a blob", "I5", _dangling_output),
    ("a second set of artifacts", "I5", _second_set),
    ("no artifacts", "I5", lambda d, s: s.execute(delete(Artifact))),
    ("an event is missing", "I6", lambda d, s: s.execute(delete(Event).where(Event.id == 2))),
    ("a point is missing", "I6", lambda d, s: s.execute(
        delete(MetricPoint).where(MetricPoint.step == 10))),
    ("the first points are missing", "I6", lambda d, s: s.add(MetricPoint(
        job_id=d.job, series="student/loss", step=2, value=1, attempt=1))),
    ("an orphaned process", "I8", _run_without_worker),
    ("a run directory", "I8", _leave("runs/{job}/1/spec.json")),
    ("an abandoned warm process", "I8", _leave("runs/.warm/abc.lock")),
    ("an incomplete blob", "I8", _leave("blobs/incoming/abc", 2 * COLLECTED_S)),
    ("an incomplete notification", "I8", _leave("broker/jobs/.123", 2 * COLLECTED_S)),
    ("parts of an expired upload", "I8", _expired_with_parts),
    ("a job the reaper does not find", "I9", _queued("unknown_task", 0)),
    ("a backoff of years", "I9", _queued("distill", 2**45)),
    ("an endless lease", "I9", _set(Job, state="running", lease_until=2**45)),
    ("a lapsed lease", "I9", _set(Job, state="running", lease_until=1)),
    ("the job of a key is missing", "I10", _set(IdempotencyKey, body={"id": "job_gone"})),
    ("two jobs with one name", "I10", lambda d, s: insert_job(s, TENANT, "distill", "a job")),
]  # fmt: skip


@pytest.mark.parametrize(("number", "plant"), [p[1:] for p in PLANTS], ids=[p[0] for p in PLANTS])
def test_a_violation_is_detected(sound: Sound, number: str, plant: Plant) -> None:
    with sound.database.write() as s:
        plant(sound, s)
    try:
        assert number in sound.broken()
    finally:
        while _STARTED:
            _STARTED.pop().communicate()


def test_weights_that_differ_from_the_control(sound: Sound) -> None:
    assert sound.broken(controls=frozenset(["ef" * 32])) == {"I7"}
    assert sound.broken(controls=frozenset(["ef" * 32]), compared=frozenset()) == set()


def test_every_invariant_is_violated_above() -> None:
    assert {number for _, number, _ in PLANTS} | {"I7"} == set(INVARIANTS)


def test_the_program_names_the_job(sound: Sound, capsys: pytest.CaptureFixture[str]) -> None:
    control = sound.home / "control.safetensors"
    control.write_bytes(CONTROL)
    arguments = [sound.database.url, "--blobs", str(sound.blobs.root)]
    arguments += ["--control", str(control), "--home", str(sound.home)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("holds") == len(INVARIANTS)
    with sound.database.write() as s:
        _attempt(1, 2, "failed")(sound, s)
    assert main(arguments) == 1
    assert f"{sound.job}: ended as succeeded, then failed" in capsys.readouterr().out
