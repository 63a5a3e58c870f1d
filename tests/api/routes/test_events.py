"""What happened to a job: pages, curves, and the live stream with its resumption."""

import threading
import time
from collections.abc import Iterable
from typing import Any

from distillery.store import jobs
from distillery.store.jobs import events
from distillery.wire.states import State
from kdcore.spec.codes import RunCode
from kdcore.spec.events import LogEvent, MetricsEvent
from tests.api.makers import DISTILLED, ApiHarness, ok, refused

SSE = {"accept": "text/event-stream"}
Sent = dict[str, str]


def append_logs(harness: ApiHarness, claim: jobs.Claim, *numbers: int) -> None:
    """Append log events with these seqs."""
    batch = [LogEvent(seq=n, at=1.0, level="info", message=f"line {n}") for n in numbers]
    with harness.database.write() as s:
        events.append(s, claim, batch)


def parse(lines: Iterable[str]) -> list[Sent]:
    """Server-sent events as dicts, comments left out."""
    found: list[Sent] = [{}]
    for line in lines:
        if not line:
            found.append({})
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            found[-1][name] = value
    return [event for event in found if event]


def stream(harness: ApiHarness, job_id: str, **headers: str) -> list[Sent]:
    """Everything the stream sends until it ends."""
    answer = harness.http.get(f"/v1/jobs/{job_id}/events", headers=SSE | headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    return parse(answer.text.splitlines())


def test_pages_of_events(either: ApiHarness) -> None:
    job = either.submit()["id"]
    claim = either.claim(job)
    append_logs(either, claim, 1, 2, 3)
    path = f"/v1/jobs/{job}/events"
    page = ok(either.http.get(f"{path}?limit=2"))
    assert [event["id"] for event in page["data"]] == [1, 2]
    assert page["data"][0]["body"] == {"level": "info", "message": "line 1"}
    assert page["has_more"]
    rest = ok(either.http.get(f"{path}?limit=2&after={page['next_cursor']}"))
    assert [event["id"] for event in rest["data"]] == [3]
    assert not rest["has_more"]


def test_a_stream_follows_the_job_to_its_end(either: ApiHarness) -> None:
    job = either.submit()["id"]
    claim = either.claim(job)
    append_logs(either, claim, 1, 2)

    def work() -> None:
        time.sleep(0.1)
        append_logs(either, claim, 3)
        with either.database.write() as s:
            stored = either.app.state.services.blobs.put_stream([b"w"])
            weights = jobs.NewArtifact("weights", "w", "x/y", stored.size, stored.sha256)
            jobs.succeed(s, claim, DISTILLED, [weights])

    worker = threading.Thread(target=work)
    worker.start()
    sent = stream(either, job)
    worker.join()
    assert [event.get("id") for event in sent] == ["1", "2", "3", None]
    assert sent[0]["event"] == "log"
    assert '"message":"line 1"' in sent[0]["data"]
    assert sent[-1] == {"event": "end", "data": '{"state": "succeeded"}'}


def test_a_stream_resumes_after_the_last_event_id(harness: ApiHarness) -> None:
    job = harness.submit()["id"]
    claim = harness.claim(job)
    append_logs(harness, claim, *range(1, 251))  # more than one look fetches
    with harness.database.write() as s:
        jobs.fail(s, claim, RunCode.DIVERGED, "no")
    sent = stream(harness, job, **{"last-event-id": "7"})
    assert [event.get("id") for event in sent] == [*map(str, range(8, 251)), None]
    answer = harness.http.get(f"/v1/jobs/{job}/events", headers=SSE | {"last-event-id": "x"})
    refused(answer, 422, "bad_parameter")


def test_a_stream_begins_where_the_job_was_read(either: ApiHarness) -> None:
    job = either.submit()["id"]
    claim = either.claim(job)
    append_logs(either, claim, 1, 2)
    read = ok(either.http.get(f"/v1/jobs/{job}"))
    assert read["last_event"] == 2
    append_logs(either, claim, 3)
    with either.database.write() as s:
        jobs.fail(s, claim, RunCode.DIVERGED, "no")
    sent = stream(either, job, **{"last-event-id": str(read["last_event"])})
    assert [event.get("id") for event in sent] == ["3", None]


def test_streams_are_bounded_in_number_and_time(tmp_path: Any, sqlite_template: Any) -> None:
    url = f"sqlite:///{tmp_path / 'd.sqlite'}"
    (tmp_path / "d.sqlite").write_bytes(sqlite_template.read_bytes())
    with ApiHarness(url, tmp_path, max_streams=1, stream_limit_s=0.3) as harness:
        job = harness.submit()["id"]
        for _ in range(2):  # a stream that has ended gives its place back
            assert stream(harness, job) == []
        slots = harness.app.state.services.streams
        assert slots.acquire(blocking=False)
        answer = harness.http.get(f"/v1/jobs/{job}/events", headers=SSE)
        refused(answer, 429, "too_many_streams")
        assert answer.headers["retry-after"]


def test_a_stream_of_a_missing_job_is_404(harness: ApiHarness) -> None:
    refused(harness.http.get("/v1/jobs/job_none/events", headers=SSE), 404, "not_found")


def test_curves(either: ApiHarness) -> None:
    job = either.submit()["id"]
    claim = either.claim(job)
    batch = [
        MetricsEvent(seq=n, at=1.0, step=n, values={"student/loss": 1 / n, "student/accuracy": n})
        for n in range(1, 41)
    ]
    with either.database.write() as s:
        events.append(s, claim, batch)
    path = f"/v1/jobs/{job}/metrics"
    whole = ok(either.http.get(path))
    assert {one["name"]: len(one["steps"]) for one in whole["series"]} == {
        "student/accuracy": 40,
        "student/loss": 40,
    }
    assert whole["series"][0]["downsampled"] is False
    few = ok(either.http.get(f"{path}?keys=student/loss&max_points=10&after_step=5"))
    (series,) = few["series"]
    assert series["downsampled"]
    assert series["steps"] == [6, 10, 14, 18, 22, 26, 30, 34, 38, 40]
    none = ok(either.http.get(f"{path}?after_step=40"))
    assert none == {"series": []}


def test_moves(harness: ApiHarness) -> None:
    job = harness.submit()["id"]
    ok(harness.http.post(f"/v1/jobs/{job}/cancel"))
    moves = ok(harness.http.get(f"/v1/jobs/{job}/transitions"))["data"]
    assert [(move["source"], move["target"]) for move in moves] == [
        (None, State.QUEUED),
        (State.QUEUED, State.CANCELLED),
    ]
    assert all(move["message"] for move in moves)
