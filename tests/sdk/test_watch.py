"""Watching a job outlives lost connections without losing or repeating an event."""

import json

import pytest

from distillery.sdk.client import Client
from distillery.sdk.errors import ApiError, Unreachable
from tests.sdk.scripted import Scripted, answer, cut, serve

STREAM = {"Content_Type": "text/event-stream"}
END = b'event: end\ndata: {"state": "succeeded"}\n\n'


def _event(number: int) -> bytes:
    event = {
        "id": number,
        "attempt": 1,
        "kind": "log",
        "at": "2026-01-01T00:00:00Z",
        "body": {"message": str(number)},
    }
    return f"id: {number}\nevent: log\ndata: {json.dumps(event)}\n\n".encode()


def test_the_end_of_a_run_is_not_the_end_of_its_job() -> None:
    """A run's own `end` event comes before the artifacts are in; an attempt may follow it."""
    event = {"id": 1, "attempt": 1, "kind": "end", "at": "2026-01-01T00:00:00Z", "body": {}}
    first = f"id: 1\nevent: end\ndata: {json.dumps(event)}\n\n".encode()
    script = Scripted(answer(200, first + _event(2) + END, **STREAM))
    with serve(script) as url, Client(url) as client:
        assert [event.id for event in client.jobs.watch("job_a")] == [1, 2]


def test_it_goes_on_after_the_last_event_it_saw() -> None:
    script = Scripted(
        cut(200, _event(1) + _event(2) + _event(3)[:-10], 5000, **STREAM),
        answer(503, "", Retry_After="0"),
        answer(200, _event(3), **STREAM),  # a stream may end before the job does
        answer(200, _event(4) + END, **STREAM),
    )
    with serve(script) as url, Client(url) as client:
        assert [event.id for event in client.jobs.watch("job_a")] == [1, 2, 3, 4]
    seen = [headers["last-event-id"] for _, _, headers, _ in script.requests]
    assert seen == ["0", "2", "2", "3"]


def test_a_service_that_stays_away_ends_it() -> None:
    with serve(Scripted(cut(200, _event(1), 5000, **STREAM))) as url:
        client = Client(url, patience_s=0.5)
        events = client.jobs.watch("job_a")
        assert next(events).id == 1
    with pytest.raises(Unreachable, match="Lost the service"):
        next(events)


def test_a_refusal_ends_it() -> None:
    problem = json.dumps({"title": "T", "status": 404, "detail": "no job", "code": "not_found"})
    script = Scripted(answer(404, problem))
    with serve(script) as url, pytest.raises(ApiError, match="no job"):
        next(Client(url).jobs.watch("job_a"))
    assert len(script.requests) == 1


def test_closing_the_client_ends_a_watch_in_another_thread() -> None:
    with serve(Scripted(cut(200, _event(1), 5000, **STREAM))) as url:
        client = Client(url)
        events = client.jobs.watch("job_a")
        assert next(events).id == 1
        client.close()
        with pytest.raises(Unreachable, match="closed"):
            next(events)
