"""Following a job outlives lost connections; waiting ends with its result or its reason."""

import json
from typing import Any

import pytest

from distillery import ApiError, Client, JobFailed, Unreachable
from tests.sdk.scripted import Answer, Scripted, answer, cut, serve

STREAM = {"Content_Type": "text/event-stream"}
END = b'event: end\ndata: {"state": "succeeded"}\n\n'
JOB: dict[str, Any] = {
    "id": "job_a",
    "name": "digits",
    "task": "distill",
    "state": "running",
    "terminal": False,
    "phase": "training",
    "request": None,
    "attempt": 1,
    "progress": None,
    "student_architecture": "resnet8",
    "methods": ["kd"],
    "latest": {},
    "gain": None,
    "student_accuracy": None,
    "teacher_accuracy": None,
    "baseline_accuracy": None,
    "error": None,
    "created_at": "2026-01-01T00:00:00Z",
    "started_at": None,
    "finished_at": None,
    "spec": None,
    "subject": None,
    "waiting": None,
    "worker": None,
    "result": None,
    "student_model": None,
    "queued_at": "2026-01-01T00:00:00Z",
    "last_event": 0,
    "version": 1,
}


def _job(**changes: Any) -> Answer:
    return answer(200, json.dumps({**JOB, **changes}))


DONE = _job(state="succeeded", terminal=True)


def _event(number: int, kind: str = "log", **body: Any) -> bytes:
    event = {
        "id": number,
        "attempt": 1,
        "kind": kind,
        "at": "2026-01-01T00:00:00Z",
        "body": body or {"level": "info", "message": str(number)},
    }
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(event)}\n\n".encode()


def test_the_end_of_a_run_is_not_the_end_of_its_job() -> None:
    """A run's own `end` event comes before the artifacts are in; an attempt may follow it."""
    first = _event(1, "end", exit="OK", code="done", message="done")
    script = Scripted(_job(), answer(200, first + _event(2) + END, **STREAM), DONE)
    with serve(script) as url, Client(url) as client:
        job = client.jobs.get("job_a")
        assert [event.id for event in job.follow()] == [1, 2]
        assert job.state == "succeeded"  # up to date once the loop is over


def test_events_are_typed_by_kind() -> None:
    progress = {
        "arm": "student",
        "stage": 0,
        "stages": 1,
        "epoch": 1,
        "epochs": 2,
        "step": 5,
        "steps": 10,
        "images_per_s": None,
        "fraction": 0.5,
        "eta_s": 3.0,
    }
    lines = [
        _event(1, "phase", phase="training"),
        _event(2, "progress", **progress),
        _event(3, "metrics", step=5, values={"student/loss": 0.5}),
        _event(4, "log", level="info", message="hello"),
        _event(5, "something-newer", x=1),
    ]
    script = Scripted(_job(), answer(200, b"".join([*lines, END]), **STREAM), DONE)
    with serve(script) as url, Client(url) as client:
        phase, moved, values, log, unknown = client.jobs.get("job_a").follow()
    assert (phase.phase, phase.message, phase.metrics) == ("training", None, {})
    assert moved.progress is not None and moved.progress.fraction == 0.5
    assert (values.step, values.metrics) == (5, {"student/loss": 0.5})
    assert log.message == "hello"
    assert (unknown.phase, unknown.progress, unknown.metrics) == (None, None, {})


def test_it_goes_on_after_the_last_event_it_saw() -> None:
    script = Scripted(
        _job(),
        cut(200, _event(1) + _event(2) + _event(3)[:-10], 5000, **STREAM),
        answer(503, "", Retry_After="0"),
        answer(200, _event(3), **STREAM),  # a stream may end before the job does
        answer(200, _event(4) + END, **STREAM),
        DONE,
    )
    with serve(script) as url, Client(url) as client:
        assert [event.id for event in client.jobs.get("job_a").follow()] == [1, 2, 3, 4]
    seen = [headers["last-event-id"] for _, _, headers, _ in script.requests[1:-1]]
    assert seen == ["0", "2", "2", "3"]


def test_a_service_that_stays_away_ends_it() -> None:
    with serve(Scripted(_job(), cut(200, _event(1), 5000, **STREAM))) as url:
        client = Client(url, patience_s=0.5)
        events = client.jobs.get("job_a").follow()
        assert next(events).id == 1
    with pytest.raises(Unreachable, match="Lost the service while following job_a"):
        next(events)


def test_a_refusal_ends_it() -> None:
    problem = json.dumps({"title": "T", "status": 404, "detail": "no job", "code": "not_found"})
    script = Scripted(_job(), answer(404, problem))
    with serve(script) as url, pytest.raises(ApiError, match="no job"):
        next(Client(url).jobs.get("job_a").follow())
    assert len(script.requests) == 2


def test_closing_the_client_ends_following_in_another_thread() -> None:
    with serve(Scripted(_job(), cut(200, _event(1), 5000, **STREAM))) as url:
        client = Client(url)
        events = client.jobs.get("job_a").follow()
        assert next(events).id == 1
        client.close()
        with pytest.raises(Unreachable, match="closed"):
            next(events)


def test_waiting_ends_with_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillery.sdk.job.POLL_S", 0.01)
    script = Scripted(_job(), _job(), _job(state="paused"), DONE)
    with serve(script) as url, Client(url) as client:
        job = client.jobs.get("job_a")
        assert job.wait() is job and job.state == "succeeded"
    assert len(script.requests) == 4


def test_waiting_for_a_job_that_fails_raises_its_reason() -> None:
    error = {"code": "diverged", "message": "loss is NaN", "pointer": "/stages/0"}
    script = Scripted(_job(), _job(state="failed", terminal=True, error=error))
    with serve(script) as url, Client(url) as client:
        job = client.jobs.get("job_a")
        with pytest.raises(JobFailed, match=r"diverged at /stages/0.*loss is NaN") as caught:
            job.wait()
    assert caught.value.job is job


def test_waiting_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distillery.sdk.job.POLL_S", 0.01)
    with serve(Scripted(_job())) as url, Client(url) as client:
        job = client.jobs.get("job_a")
        with pytest.raises(TimeoutError, match="still running"):
            job.wait(timeout_s=0.05)
