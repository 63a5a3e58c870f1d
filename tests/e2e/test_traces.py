"""One trace from a request to its run, sent by real processes to a real receiver."""

from pathlib import Path

import pytest

from tests.e2e.pictures import write_pictures
from tests.e2e.service import Service, finish, wait_until
from tests.telemetry.receiver import Receiver, Span, receiving

pytestmark = pytest.mark.e2e
PARENT_TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{PARENT_TRACE}-b7ad6b7169203331-01"


def test_a_requests_trace_includes_its_run(tmp_path: Path) -> None:
    with receiving() as receiver:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with Service(tmp_path / "home", **settings) as service:
            client = service.client
            file = write_pictures(tmp_path / "pictures.npz")
            client._transport._http.headers["traceparent"] = PARENT
            dataset = client.datasets.push(file, wait=False)
            assert dataset.inspect_job is not None
            job = client.jobs.get(dataset.inspect_job)
            assert finish(client, job).state == "succeeded"
            events = client.jobs.get(job.id).events()
            phases_run = [event.phase for event in events if event.phase]
            wait_until(lambda: receiver.named("attempt"), 60, "the span of the attempt arrives")
    attempt = _only(receiver, "attempt")
    request = _only(receiver, "POST /v1/datasets")
    assert (request.service, request.trace) == ("distillery-api", PARENT_TRACE)
    assert request.parent == PARENT.split("-")[2]
    assert request.attributes["http.response.status_code"] == 202
    assert (attempt.service, attempt.trace) == ("distillery-worker", request.trace)
    assert attempt.parent == request.id
    assert attempt.attributes["kd.job"] == job.id
    for name in ("claim", "lay out", "run", "store artifacts"):
        child = _only(receiver, name)
        assert (child.trace, child.parent) == (attempt.trace, attempt.id)
        assert child.started_ns <= child.ended_ns
    phases = [span for span in receiver.spans if span.name.startswith("phase ")]
    phases.sort(key=lambda span: span.started_ns)
    assert [span.name for span in phases] == [f"phase {phase}" for phase in phases_run] != []
    assert {span.parent for span in phases} == {_only(receiver, "run").id}


def _only(receiver: Receiver, name: str) -> Span:
    (span,) = receiver.named(name)
    return span
