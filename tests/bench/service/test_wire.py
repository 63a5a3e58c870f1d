"""Percentiles, and requests that raise instead of measuring refusals."""

import psutil
import pytest

from bench.service.wire import Wire, clocked, latency
from tests.sdk.scripted import Scripted, answer, serve


def test_percentiles_of_known_times() -> None:
    found = latency([float(n) for n in range(101)], size=2500)
    assert (found.count, found.p50_ms, found.p95_ms, found.kb) == (101, 50.0, 95.0, 2.5)


def test_requests_share_headers_and_are_counted() -> None:
    scripted = Scripted(answer(200, '{"a": 1}', ETag="x"))
    with serve(scripted) as url:
        wire = Wire(url, {"Authorization": "Bearer k"})
        made = wire.ask("POST", "/x", {"b": 2}, {"Idempotency-Key": "i"})
        assert (made.json(), made.headers["etag"]) == ({"a": 1}, "x")
        found = clocked(lambda: wire.get("/y"), 10, psutil.Process())
        wire.close()
    assert (found.count, found.kb) == (10, 0.0)
    assert found.cpu_ms is not None
    assert [request[0] for request in scripted.requests] == ["POST"] + ["GET"] * 15
    assert all(headers["authorization"] == "Bearer k" for _, _, headers, _ in scripted.requests)
    assert scripted.requests[0][2]["idempotency-key"] == "i"


def test_a_refusal_is_not_measured() -> None:
    with serve(Scripted(answer(503, "busy"))) as url:
        wire = Wire(url)
        with pytest.raises(AssertionError, match="503"):
            clocked(lambda: wire.get("/"), 3)
        wire.close()
